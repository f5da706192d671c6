#include "grammar/running/matcher.hpp"

#include <algorithm>

namespace frugal::grammar {

std::unique_ptr<Workbench> Workshop::take(const Tokenizer& tokenizer) {
  std::shared_ptr<const Vocabulary> vocabulary = Vocabulary::of(tokenizer);
  {
    const std::lock_guard lock(mutex_);
    for (auto i = idle_.begin(); i != idle_.end(); ++i) {
      if ((*i)->vocabulary != vocabulary) continue;
      std::unique_ptr<Workbench> bench = std::move(*i);
      idle_.erase(i);
      return bench;
    }
  }
  return std::make_unique<Workbench>(program_, std::move(vocabulary));
}

void Workshop::give_back(std::unique_ptr<Workbench> bench) {
  if (bench->parser.memory() + bench->parser.store().memory() + bench->masks.memory() + bench->habits.memory() >
      kMostBytes)
    return;
  bench->parser.reset();
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kMostKept) idle_.push_back(std::move(bench));
}

Matcher::Matcher(std::shared_ptr<Workshop> shop, const Tokenizer& tokenizer)
    : shop_(std::move(shop)), bench_(shop_->take(tokenizer)), tokenizer_(tokenizer) {}

Matcher::~Matcher() {
  try {
    shop_->give_back(std::move(bench_));
  } catch (...) {  // out of memory, or over a limit: the next answer starts from the program
  }
}

void Matcher::mask(std::span<std::uint32_t> words) { bench_->masks.write(now(), words); }

bool Matcher::advance(Token token) {
  if (token < 0 || static_cast<std::size_t>(token) >= bench_->vocabulary->size()) return false;
  if (tokenizer_.is_end(token) || tokenizer_.is_control(token)) return false;
  const std::string_view bytes = tokenizer_.bytes(token);
  if (bytes.empty()) return false;
  const Parser::Mark mark = bench_->parser.mark();
  const StateId to = bench_->parser.run(now(), bytes);
  if (to == kDeadState) {
    bench_->parser.release(mark);
    return false;
  }
  steps_.push_back({to, mark, text_.size(), token});
  text_ += bytes;
  return true;
}

void Matcher::rollback(std::size_t tokens) {
  if (tokens == 0) return;
  const std::size_t kept = steps_.size() - std::min(tokens, steps_.size());
  text_.resize(steps_[kept].bytes);
  bench_->parser.release(steps_[kept].mark);
  steps_.resize(kept);
  while (!asked_.empty() && asked_.back().step > kept) asked_.pop_back();
}

ConstraintState Matcher::state() const {
  const ParserState& state = bench_->parser.state(now());
  if (!state.complete) return ConstraintState::open;
  return state.threads.empty() ? ConstraintState::finished : ConstraintState::complete;
}

// A text of as many bytes as tokens are left needs no spelling, where each byte is a token.
bool Matcher::closes_from(StateId state, std::size_t most, unsigned& searches, std::vector<Token>* way) {
  const Closing::Length missing = bench_->closing.length(state);
  if (missing.bytes == kNoLength) return false;
  const Vocabulary& vocabulary = *bench_->vocabulary;
  if (missing.certain && missing.bytes > most * vocabulary.longest()) return false;
  if (!way && missing.certain && missing.bytes <= most && vocabulary.has_all_bytes()) return true;
  std::string text;
  if (!bench_->closing.write(state, searches, text)) return false;
  std::vector<Token> tokens;
  if (!vocabulary.spell(text, tokens) || tokens.size() > most) return false;
  if (way) way->insert(way->end(), tokens.begin(), tokens.end());
  return true;
}

bool Matcher::closes(std::size_t most, std::vector<Token>* way) {
  unsigned searches = 1;
  return closes_from(now(), most, searches, way);
}

void Matcher::closing_mask(std::size_t most, std::span<std::uint32_t> words) {
  if (most == 0) {
    std::fill(words.begin(), words.end(), 0);
    return;
  }
  unsigned searches = 8;
  bench_->masks.write_closing(
      now(), [&](StateId state) { return closes_from(state, most - 1, searches, nullptr); }, words);
}

std::optional<DocumentVerdict> Matcher::judge() {
  const std::optional<std::string>& schema = bench_->program->judged_by;
  if (!schema) return std::nullopt;
  if (schema->empty()) return DocumentVerdict{std::nullopt, "keywords left out of a tool's arguments are not judged"};
  if (!bench_->judge) bench_->judge = std::make_unique<Judge>(*schema, bench_->program->limits);
  return bench_->judge->of(text_);
}

std::string Matcher::forced_bytes(std::size_t most) {
  Parser& parser = bench_->parser;
  std::string forced;
  for (StateId state = now(); forced.size() < most;) {
    std::uint8_t only = 0;
    if (parser.state(state).complete || parser.next_bytes(state, only) != 1) break;
    forced += static_cast<char>(only);
    state = parser.step(state, only);
  }
  return forced;
}

// What the model spelled when the same bytes were forced before is the best guess; without one, it is the tokenizer's
// own spelling.
void Matcher::forced(std::size_t most, std::vector<Token>& out) {
  if (most == 0) return;
  learn();
  Parser& parser = bench_->parser;
  const Parser::Mark mark = parser.mark();
  constexpr std::size_t kMostBytes = 1024;
  const std::string forced = forced_bytes(std::min(kMostBytes, most * 16));
  const bool whole = parser.state(parser.run(now(), forced)).threads.empty();  // nothing follows: all of it is settled
  parser.release(mark);
  if (forced.empty()) return;
  if (const std::vector<Token>* known = bench_->habits.find(forced)) {
    out.insert(out.end(), known->begin(), known->begin() + static_cast<std::ptrdiff_t>(std::min(most, known->size())));
  } else {
    spell(forced, whole, most, out);
  }
  if (asked_.empty() || asked_.back().step != steps_.size()) asked_.push_back({steps_.size(), forced});
}

// Every place whose forced bytes have been written since shows how the model spells them.
void Matcher::learn() {
  std::erase_if(asked_, [&](const Habits::Open& open) {
    std::vector<Token> tokens;
    std::size_t bytes = 0;
    for (std::size_t i = open.step; i < steps_.size(); ++i) {
      const std::size_t size = (i + 1 < steps_.size() ? steps_[i + 1].bytes : text_.size()) - steps_[i].bytes;
      if (bytes + size <= open.forced.size()) tokens.push_back(steps_[i].token);
      bytes += size;
      if (bytes >= open.forced.size()) {
        bench_->habits.keep(open.forced, std::move(tokens));
        return true;
      }
    }
    return false;
  });
}

// The text so far is spelled together with what is forced, from as far back as the tokenizer spells it the way it was
// written. Tokens that lie in what no further text can change are certain.
void Matcher::spell(std::string_view forced, bool whole, std::size_t most, std::vector<Token>& out) const {
  constexpr std::size_t kLookBack = 16;
  const EncodeOptions plain{.parse_special = false, .add_bos = false};
  for (std::size_t first = steps_.size() - std::min(kLookBack, steps_.size());;) {
    const std::size_t begin = first == steps_.size() ? text_.size() : steps_[first].bytes;
    const std::string text = text_.substr(begin).append(forced);
    const std::vector<Token> tokens = tokenizer_.encode(text, plain);
    std::size_t t = 0;
    while (first + t < steps_.size() && t < tokens.size() && tokens[t] == steps_[first + t].token) ++t;
    if (first + t < steps_.size()) {
      first += t + 1;
      continue;
    }
    const std::size_t settled = whole ? text.size() : tokenizer_.settled_bytes(text);
    std::size_t at = text.size() - forced.size();
    for (std::size_t added = 0; t < tokens.size() && added < most; ++t, ++added) {
      at += tokenizer_.bytes(tokens[t]).size();
      if (at > settled) return;
      out.push_back(tokens[t]);
    }
    return;
  }
}

expected<std::unique_ptr<Constraint>> Source::open(const Tokenizer& tokenizer) const {
  try {
    return std::unique_ptr<Constraint>(std::make_unique<Matcher>(shop_, tokenizer));
  } catch (const Error& error) {
    return unexpected(error);
  } catch (const std::bad_alloc&) {
    return unexpected(Errc::out_of_memory, name_ + ": no memory for a new answer");
  }
}

}  // namespace frugal::grammar

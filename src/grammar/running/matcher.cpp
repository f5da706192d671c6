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
  if (bench->parser.memory() + bench->parser.store().memory() + bench->masks.memory() > kMostBytes) return;
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
}

ConstraintState Matcher::state() const {
  const ParserState& state = bench_->parser.state(now());
  if (!state.complete) return ConstraintState::open;
  return state.threads.empty() ? ConstraintState::finished : ConstraintState::complete;
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

// The tokenizer spells the text so far together with what is forced. The tokens that lie in what no further text can
// change are certain, provided that it spells the text so far as it was written.
void Matcher::forced(std::size_t most, std::vector<Token>& out) {
  if (most == 0) return;
  Parser& parser = bench_->parser;
  const Parser::Mark mark = parser.mark();
  constexpr std::size_t kMostBytes = 1024, kLookBack = 16;
  const std::string forced = forced_bytes(std::min(kMostBytes, most * 16));
  const bool whole = parser.state(parser.run(now(), forced)).threads.empty();  // nothing follows: all of it is settled
  parser.release(mark);
  if (forced.empty()) return;
  std::size_t back = std::min(kLookBack, steps_.size());
  const std::size_t begin = back == 0 ? 0 : steps_[steps_.size() - back].bytes;
  const std::string text = text_.substr(begin) + forced;
  const EncodeOptions plain{.parse_special = false, .add_bos = false};
  const std::size_t settled = whole ? text.size() : tokenizer_.settled_bytes(text);
  const std::vector<Token> tokens = tokenizer_.encode(text, plain);
  std::size_t at = 0, t = 0;
  for (std::size_t i = steps_.size() - back; i < steps_.size(); ++i, ++t) {
    if (t == tokens.size() || tokens[t] != steps_[i].token) return;
    at += tokenizer_.bytes(tokens[t]).size();
  }
  for (std::size_t added = 0; t < tokens.size() && added < most; ++t, ++added) {
    at += tokenizer_.bytes(tokens[t]).size();
    if (at > settled) return;
    out.push_back(tokens[t]);
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

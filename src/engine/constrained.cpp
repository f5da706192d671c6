#include "engine/constrained.hpp"

#include <frugal/model/model.hpp>

#include <algorithm>
#include <utility>

#include "core/caught.hpp"
#include "engine/sequence.hpp"

namespace frugal {

template <class F>
decltype(auto) Constrained::named(F f) const {
  try {
    return f();
  } catch (...) {
    throw Error(Errc::policy, "constraint " + std::string(source_->name()) + ": " + caught_text());
  }
}

Constrained::Constrained(std::shared_ptr<const ConstraintSource> source, std::unique_ptr<Constraint> running,
                         const ModelSlot& slot)
    : source_(std::move(source)),
      running_(std::move(running)),
      slot_(slot),
      words_((std::size_t{slot.model->tokens()} + 31) / 32) {}

expected<std::unique_ptr<Constrained>> Constrained::open(std::shared_ptr<const ConstraintSource> source,
                                                         const ModelSlot& slot) {
  const Tokenizer* const tokenizer = slot.model->tokenizer();
  if (tokenizer == nullptr)
    return unexpected(Errc::unsupported, "model " + slot.name + " has no tokenizer: it can follow no constraint");
  try {
    expected<std::unique_ptr<Constraint>> running = source->open(*tokenizer);
    if (!running) return unexpected(running.error());
    if (*running == nullptr)
      return unexpected(Errc::policy, "constraint " + std::string(source->name()) + ": open() gave nothing");
    return std::unique_ptr<Constrained>(new Constrained(std::move(source), std::move(*running), slot));
  } catch (...) {
    return unexpected(Errc::policy, "constraint " + std::string(source->name()) + ": " + caught_text());
  }
}

expected<void> Constrained::close_within(std::uint32_t budget) {
  budget_ = budget;
  watching_ = true;
  try {
    if (running_->closes(budget, nullptr)) return {};
    std::vector<Token> way;
    if (running_->closes(~0U, &way))
      return unexpected(Errc::invalid_argument, "close_when_short: the shortest document that constraint " +
                                                    std::string(source_->name()) + " knows has " +
                                                    std::to_string(way.size()) + " tokens, the answer may have " +
                                                    std::to_string(budget));
    return unexpected(Errc::unsupported, "close_when_short: constraint " + std::string(source_->name()) +
                                             " knows no way to end its documents");
  } catch (...) {
    return unexpected(Errc::policy, "constraint " + std::string(source_->name()) + ": " + caught_text());
  }
}

std::uint32_t Constrained::keep(std::span<const TokenScore> drawn) {
  walk_back();
  const auto count = static_cast<std::uint32_t>(drawn.size());
  if (!watching_ || narrow_from_) return count;
  return named([&] {
    const Tokenizer& tokenizer = *slot_.model->tokenizer();
    std::uint32_t walked = 0, kept = count;
    for (std::uint32_t i = 0; i < count; ++i) {
      const Token token = drawn[i].token;
      if (token < 0 || tokenizer.is_end(token) || !running_->advance(token)) break;
      ++walked;
      if (running_->state() == ConstraintState::finished) break;
      if (i + 1 <= left() && running_->closes(left() - i - 1, nullptr)) continue;
      running_->rollback(1);
      --walked;
      if (begin_closing(i)) kept = i;
      break;
    }
    running_->rollback(walked);
    return kept;
  });
}

// The constraint stands after `kept` tokens that are about to be accepted.
bool Constrained::begin_closing(std::uint32_t kept) {
  way_.clear();
  watching_ = kept <= left() && running_->closes(left() - kept, &way_);
  if (watching_) narrow_from_ = accepted_ + kept;
  return watching_;
}

// What is left of the way holds as long as the tokens are its own; after any other one, a new way is asked for.
void Constrained::step_along(Token token) {
  if (!narrow_from_ || accepted_ <= *narrow_from_) return;
  if (!way_.empty() && way_.front() == token) {
    way_.erase(way_.begin());
    return;
  }
  way_.clear();
  (void)running_->closes(left(), &way_);
}

void Constrained::forced(std::uint32_t most, std::vector<Token>& out) {
  const std::size_t before = out.size();
  named([&] { running_->forced(most, out); });
  if (out.size() == before && narrow_from_ && way_.size() == left())  // nothing but short ways is left
    out.insert(out.end(), way_.begin(),
               way_.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(most, way_.size())));
  if (out.size() > before + most) out.resize(before + most);
  const auto unknown = std::find_if(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(), [&](Token t) {
    return t < 0 || static_cast<std::uint32_t>(t) >= slot_.model->tokens();
  });
  out.erase(unknown, out.end());
}

// The contract's rule for end tokens, whatever the constraint has written.
void Constrained::set_ends(std::span<std::uint32_t> words) const {
  const bool may_end = running_->state() != ConstraintState::open;
  for (const Token end : slot_.ends) {
    const auto t = static_cast<std::size_t>(end);
    const std::uint32_t bit = std::uint32_t{1} << (t % 32);
    if (may_end) {
      words[t / 32] |= bit;
    } else {
      words[t / 32] &= ~bit;
    }
  }
}

void Constrained::write_mask(std::uint32_t drafts, std::span<std::uint32_t> words) {
  if (!narrow_from_) return running_->mask(words);
  running_->closing_mask(left() - std::min(left(), drafts), words);
  if (!on_way_ || drafts >= way_.size()) return;
  const auto t = static_cast<std::size_t>(way_[drafts]);
  if (t < slot_.model->tokens()) words[t / 32] |= std::uint32_t{1} << (t % 32);
}

std::span<const std::uint32_t> Constrained::mask(std::uint32_t drafts) {
  if (drafts >= ready_) {
    if (masks_.size() < (std::size_t{drafts} + 1) * words_) masks_.resize((std::size_t{drafts} + 1) * words_);
    const std::span<std::uint32_t> words = std::span(masks_).subspan(drafts * words_, words_);
    named([&] {
      write_mask(drafts, words);
      set_ends(words);
    });
    const std::size_t over = words_ * 32 - slot_.model->tokens();
    if (over > 0) words.back() &= ~std::uint32_t{0} >> over;
    ready_ = drafts + 1;
  }
  return std::span<const std::uint32_t>(masks_).subspan(drafts * words_, words_);
}

bool Constrained::follow(Token draft) {
  const Tokenizer& tokenizer = *slot_.model->tokenizer();
  if (tokenizer.is_end(draft)) return false;
  return named([&] {
    if (!running_->advance(draft)) return false;
    if (running_->state() == ConstraintState::finished) {
      running_->rollback(1);
      return false;
    }
    on_way_ = on_way_ && ahead_ < way_.size() && way_[ahead_] == draft;
    ++ahead_;
    return true;
  });
}

void Constrained::check(Chain& chain) {
  if (ready_ > chain.size()) return;  // the draft model's rows had them all
  mask(ahead_);
  for (std::uint32_t i = ahead_; i < chain.size(); ++i) {
    if (!follow(chain.drafts()[i])) {
      chain.cut(i);
      return;
    }
    mask(i + 1);
  }
}

void Constrained::rewind() {
  ready_ = 0;
  walk_back();
}

void Constrained::walk_back() {
  on_way_ = true;
  if (ahead_ == 0) return;
  const std::uint32_t back = std::exchange(ahead_, 0);
  named([&] { running_->rollback(back); });
}

bool Constrained::accept(Token token) {
  return named([&] {
    if (!running_->advance(token))
      throw Error(Errc::policy, "token " + std::to_string(token) + " was allowed by the mask and then refused");
    ++accepted_;
    step_along(token);
    return running_->state() == ConstraintState::finished;
  });
}

void Constrained::drop_newest() {
  --accepted_;
  named([&] { running_->rollback(1); });
}

std::optional<DocumentReport> Constrained::report(std::uint32_t tokens, bool cut) noexcept {
  try {
    rewind();
    DocumentReport report;
    report.complete = !cut && running_->state() != ConstraintState::open;
    report.closing_tokens = narrow_from_ ? tokens - std::min(tokens, *narrow_from_) : 0;
    if (report.complete) report.verdict = running_->judge();
    return report;
  } catch (...) {  // the host's constraint is at fault: nothing is known
    return std::nullopt;
  }
}

bool Constrained::allowed_any(std::uint32_t draw) const {
  if (draw >= ready_) return true;
  const auto words = std::span(masks_).subspan(draw * words_, words_);
  return std::any_of(words.begin(), words.end(), [](std::uint32_t w) { return w != 0; });
}

Error Constrained::dead_end() const {
  return Error(Errc::policy, "constraint " + std::string(source_->name()) + ": no token may follow here");
}

}  // namespace frugal

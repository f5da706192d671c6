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

void Constrained::forced(std::uint32_t most, std::vector<Token>& out) {
  const std::size_t before = out.size();
  named([&] { running_->forced(most, out); });
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

std::span<const std::uint32_t> Constrained::mask(std::uint32_t drafts) {
  if (drafts >= ready_) {
    if (masks_.size() < (std::size_t{drafts} + 1) * words_) masks_.resize((std::size_t{drafts} + 1) * words_);
    const std::span<std::uint32_t> words = std::span(masks_).subspan(drafts * words_, words_);
    named([&] {
      running_->mask(words);
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
  if (ahead_ == 0) return;
  const std::uint32_t back = std::exchange(ahead_, 0);
  named([&] { running_->rollback(back); });
}

bool Constrained::accept(Token token) {
  return named([&] {
    if (!running_->advance(token))
      throw Error(Errc::policy, "token " + std::to_string(token) + " was allowed by the mask and then refused");
    return running_->state() == ConstraintState::finished;
  });
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

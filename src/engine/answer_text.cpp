#include "engine/answer_text.hpp"

#include <algorithm>
#include <utility>

namespace frugal {

AnswerText::AnswerText(const Tokenizer* tokenizer, std::vector<std::string> stops) : stops_(std::move(stops)) {
  if (tokenizer != nullptr) detokenizer_.emplace(*tokenizer);
}

std::string AnswerText::release(std::size_t bytes) {
  std::string out = pending_.substr(0, bytes);
  pending_.erase(0, bytes);
  return out;
}

// The longest end of pending_ that is a beginning of some stop text.
std::size_t AnswerText::held_for_stops() const {
  std::size_t held = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, pending_.size()); n > held; --n) {
      if (std::string_view(pending_).substr(pending_.size() - n) == std::string_view(stop).substr(0, n)) held = n;
    }
  }
  return held;
}

std::string AnswerText::push(Token token) {
  if (!detokenizer_ || matched_) return {};
  pending_before_ = pending_;
  detokenizer_before_ = detokenizer_;
  added_ = 0;
  try {
    return take(token);
  } catch (...) {
    drop_newest();
    throw;
  }
}

std::string AnswerText::take(Token token) {
  const std::string piece = detokenizer_->push(token);
  whole_ += piece;
  added_ = piece.size();
  pending_ += piece;
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_) {
    const std::size_t at = pending_.find(stop);
    if (at < first) first = at, matched_ = stop;
  }
  if (matched_) return release(first);
  return release(pending_.size() - held_for_stops());
}

void AnswerText::drop_newest() {
  if (!detokenizer_) return;
  detokenizer_.swap(detokenizer_before_);
  pending_.swap(pending_before_);
  matched_.reset();
  whole_.resize(whole_.size() - added_);
  added_ = 0;
}

std::string AnswerText::flush() {
  if (!detokenizer_ || matched_) return {};
  pending_ += detokenizer_->flush();
  return release(pending_.size());
}

}  // namespace frugal

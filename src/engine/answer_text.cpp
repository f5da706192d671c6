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
  const std::string piece = detokenizer_->push(token);
  pending_ += piece;
  whole_ += piece;
  added_ = piece.size();
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_) {
    const std::size_t at = pending_.find(stop);
    if (at < first) first = at, matched_ = stop;
  }
  if (matched_) return release(first);
  return release(pending_.size() - held_for_stops());
}

std::string AnswerText::flush() {
  if (!detokenizer_ || matched_) return {};
  pending_ += detokenizer_->flush();
  return release(pending_.size());
}

}  // namespace frugal

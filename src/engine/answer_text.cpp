#include "engine/answer_text.hpp"

#include <utility>

#include "core/stop_texts.hpp"

namespace frugal {

AnswerText::AnswerText(const Tokenizer* tokenizer, std::vector<std::string> stops) : stops_(std::move(stops)) {
  if (tokenizer != nullptr) detokenizer_.emplace(*tokenizer);
}

std::string AnswerText::release(std::size_t bytes) {
  std::string out = pending_.substr(0, bytes);
  pending_.erase(0, bytes);
  return out;
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
  const StopMatch found = find_stop(pending_, stops_);
  if (found.stop != nullptr) matched_ = *found.stop;
  return release(found.safe);
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

// An answer that follows a given text with differences: a word replaced, a sentence left out or put in, a paragraph
// moved. While they agree the next token of the text is the draft. After a difference the drafter is silent until the
// answer's newest tokens stand in the text again: one token will do close by, more are asked for further away.
#include <frugal/draft/drafters.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace frugal {
namespace {

constexpr std::size_t kLongest = 16;  // a longer match counts as this one
constexpr std::size_t kPutIn = 16;    // after more tokens put in, one alone is too little to go by

/// Tokens that must agree for the text to be taken up again, by how far that is from where it was expected to go on.
std::size_t needed(std::size_t distance) { return distance <= 4 ? 1 : distance <= 64 ? 2 : 4; }

class TextDrafting final : public Drafting {
 public:
  TextDrafting(std::span<const Token> text, std::size_t prompt) : text_(text.begin(), text.end()), prompt_(prompt) {
    places_.reserve(text_.size());
    for (std::size_t i = 0; i < text_.size(); ++i) places_.emplace_back(text_[i], static_cast<std::uint32_t>(i));
    std::sort(places_.begin(), places_.end());
  }

  void learn(std::span<const Token> accepted) override {
    const std::size_t skipped = std::min(prompt_, accepted.size());
    prompt_ -= skipped;
    for (const Token token : accepted.subspan(skipped)) step(token);
  }

  void propose(std::uint32_t most, std::vector<Token>& out) override {
    if (!aligned_) return;
    const std::size_t end = std::min(text_.size(), next_ + most);
    for (std::size_t i = next_; i < end; ++i) out.push_back(text_[i]);
  }

 private:
  void step(Token token) {
    answer_.push_back(token);
    if (aligned_ && next_ < text_.size() && text_[next_] == token) {
      ++next_;
    } else {
      realign(token);
    }
  }

  // Tokens that replace others lead to `next_`, tokens put in to where the text was left: it may go on anywhere
  // between. Of the places of the newest token the one with the longest match, then the nearest to there, then the one
  // ahead.
  void realign(Token token) {
    if (aligned_) left_ = next_;
    aligned_ = false;
    const std::size_t last = std::min(next_ + 1, text_.size());
    const std::size_t first = std::min(last, std::max(left_ + 1, last - std::min(last, kPutIn)));
    next_ = last;
    std::size_t best = 0, best_distance = 0;
    auto place = std::lower_bound(places_.begin(), places_.end(), std::pair{token, std::uint32_t{0}});
    for (; place != places_.end() && place->first == token; ++place) {
      const std::size_t end = place->second + 1U;
      const std::size_t distance = end > last ? end - last : end < first ? first - end : 0;
      const std::size_t length = matched(end);
      if (length < needed(distance) || length < best) continue;
      if (length == best && (distance > best_distance || (distance == best_distance && end < last))) continue;
      best = length, best_distance = distance;
      aligned_ = true, next_ = end;
    }
  }

  /// How many of the answer's last tokens also stand before `end` of the text.
  std::size_t matched(std::size_t end) const noexcept {
    const std::size_t most = std::min({end, answer_.size(), kLongest});
    std::size_t n = 0;
    while (n < most && text_[end - 1 - n] == answer_[answer_.size() - 1 - n]) ++n;
    return n;
  }

  std::vector<Token> text_;
  std::vector<std::pair<Token, std::uint32_t>> places_;  // [text], sorted
  std::vector<Token> answer_;
  std::size_t prompt_;    // of its tokens, those still to come through learn()
  std::size_t next_ = 0;  // where the text goes on, or would if each token since replaced one
  std::size_t left_ = 0;  // where the last difference began
  bool aligned_ = true;   // the answer may well begin as the text does
};

class TextDrafter final : public Drafter {
 public:
  std::string_view name() const override { return "text"; }
  std::unique_ptr<Drafting> open(const RequestView& request) override {
    if (request.draft.empty()) return nullptr;
    return std::make_unique<TextDrafting>(request.draft, request.prompt.size());
  }
};

}  // namespace

std::shared_ptr<Drafter> text_drafter() { return std::make_shared<TextDrafter>(); }

}  // namespace frugal

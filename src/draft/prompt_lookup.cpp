// Chains of equal n-grams, as LZ77 coders keep them: head[hash] is the latest place, before[place] the one before it. A
// hash narrows, the tokens decide.
#include <frugal/core/error.hpp>
#include <frugal/draft/drafters.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace frugal {
namespace {

class PromptLookup final : public Drafting {
 public:
  explicit PromptLookup(const PromptLookupOptions& options) : options_(options), head_(64, kNone) {}

  void learn(std::span<const Token> accepted) override {
    for (const Token token : accepted) {
      if (text_.size() >= options_.shortest_match) note();  // the text's own end is noted when it moves on
      text_.push_back(token);
    }
  }

  void propose(std::uint32_t most, std::vector<Token>& out) override {
    if (text_.size() < options_.shortest_match) return;
    std::size_t end = 0, length = 0;
    std::uint32_t at = head_[slot(text_.size())];
    for (std::uint32_t i = 0; i < options_.most_candidates && at != kNone; ++i, at = before_[at]) {
      const std::size_t match = matched(at);
      if (match > length) length = match, end = at;
      if (length >= options_.longest_match) break;
    }
    if (length < options_.shortest_match) return;
    repeat(end, std::min<std::uint64_t>(most, std::uint64_t{length} * options_.draft_per_match), out);
  }

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  /// Of the n-gram that ends before `end`.
  std::size_t slot(std::size_t end) const noexcept {
    std::uint64_t hash = 0;
    for (std::size_t i = end - options_.shortest_match; i < end; ++i)
      hash = (hash ^ static_cast<std::uint32_t>(text_[i])) * 0x9E3779B97F4A7C15U;
    return static_cast<std::size_t>(hash >> 32) & (head_.size() - 1);
  }

  void note() {
    const auto end = static_cast<std::uint32_t>(text_.size());
    if (text_.size() > head_.size()) rebuild();
    before_.resize(text_.size() + 1, kNone);
    std::uint32_t& head = head_[slot(end)];
    before_[end] = head, head = end;
  }

  void rebuild() {
    head_.assign(head_.size() * 2, kNone);
    for (std::size_t end = options_.shortest_match; end < text_.size(); ++end) {
      std::uint32_t& head = head_[slot(end)];
      before_[end] = head, head = static_cast<std::uint32_t>(end);
    }
  }

  /// How many of the text's last tokens also stand before `end`.
  std::size_t matched(std::size_t end) const noexcept {
    const std::size_t most = std::min<std::size_t>(end, options_.longest_match);
    std::size_t n = 0;
    while (n < most && text_[end - 1 - n] == text_[text_.size() - 1 - n]) ++n;
    return n;
  }

  // A run that reaches the end of the text goes on with the draft itself.
  void repeat(std::size_t end, std::uint64_t most, std::vector<Token>& out) const {
    const std::size_t start = out.size();
    for (std::size_t at = end; at < end + most; ++at)
      out.push_back(at < text_.size() ? text_[at] : out[start + at - text_.size()]);
  }

  PromptLookupOptions options_;
  std::vector<Token> text_;
  std::vector<std::uint32_t> head_;    // [power of two >= text]: the latest end of an n-gram with this hash
  std::vector<std::uint32_t> before_;  // [ends]: the one before it in its chain
};

class PromptLookupDrafter final : public Drafter {
 public:
  explicit PromptLookupDrafter(const PromptLookupOptions& options) : options_(options) {}
  std::string_view name() const override { return "prompt_lookup"; }
  std::unique_ptr<Drafting> open(const RequestView&) override { return std::make_unique<PromptLookup>(options_); }

 private:
  PromptLookupOptions options_;
};

}  // namespace

std::shared_ptr<Drafter> prompt_lookup(PromptLookupOptions options) {
  const auto need = [](bool good, const char* what) {
    if (!good) throw Error(Errc::invalid_argument, std::string("prompt_lookup: ") + what);
  };
  need(options.shortest_match > 0, "shortest_match is 0");
  need(options.longest_match >= options.shortest_match, "longest_match is less than shortest_match");
  need(options.draft_per_match > 0, "draft_per_match is 0");
  need(options.most_candidates > 0, "most_candidates is 0");
  return std::make_shared<PromptLookupDrafter>(options);
}

}  // namespace frugal

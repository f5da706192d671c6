// A sequence reads its answer along three texts at once: its own, and the past answers' two generations. The longest
// match drafts; of equal ones its own, then the younger.
#include <frugal/core/error.hpp>
#include <frugal/draft/drafters.hpp>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "draft/past_answers.hpp"
#include "draft/suffix_automaton.hpp"

namespace frugal {
namespace {

using draft::PastAnswers;
using draft::SuffixAutomaton;

class SuffixDrafting final : public Drafting {
 public:
  SuffixDrafting(const SuffixDrafterOptions& options, std::vector<std::weak_ptr<const SuffixAutomaton>> past)
      : options_(options) {
    for (auto& text : past) past_.push_back({std::move(text), {}});
  }

  void learn(std::span<const Token> accepted) override {
    for (const Token token : accepted) own_.push(token);
    for (Past& past : past_) {
      const auto text = past.text.lock();
      if (!text) continue;
      for (const Token token : accepted)
        past.match = token < 0 ? SuffixAutomaton::Match{} : text->follow(past.match, token);
    }
  }

  void propose(std::uint32_t most, std::vector<Token>& out) override {
    SuffixAutomaton::Match match = own_.repeated();
    std::shared_ptr<const SuffixAutomaton> from;
    for (const Past& past : past_) {
      auto text = past.text.lock();
      if (!text || past.match.length <= match.length || ends_there(*text, past.match)) continue;
      match = past.match, from = std::move(text);
    }
    if (match.length < options_.shortest_match) return;
    const std::uint64_t worth = std::uint64_t{match.length} * options_.draft_per_match;
    most = static_cast<std::uint32_t>(std::min<std::uint64_t>(most, worth));
    if (from) {
      copy(from->text().subspan(from->end_of(match)), most, out);
    } else {
      repeat(own_.end_of(match), most, out);
    }
  }

 private:
  struct Past {
    std::weak_ptr<const SuffixAutomaton> text;
    SuffixAutomaton::Match match;
  };

  static bool ends_there(const SuffixAutomaton& past, SuffixAutomaton::Match match) {
    const std::uint32_t end = past.end_of(match);
    return end >= past.text().size() || past.text()[end] == PastAnswers::kSeparator;
  }

  static void copy(std::span<const Token> text, std::uint32_t most, std::vector<Token>& out) {
    for (std::size_t i = 0; i < std::min<std::size_t>(most, text.size()) && text[i] != PastAnswers::kSeparator; ++i)
      out.push_back(text[i]);
  }

  // A run that reaches the end of the text goes on with the draft itself: what repeats keeps repeating.
  void repeat(std::size_t end, std::uint32_t most, std::vector<Token>& out) const {
    const std::span<const Token> text = own_.text();
    const std::size_t before = out.size();
    for (std::size_t at = end; at < end + most; ++at)
      out.push_back(at < text.size() ? text[at] : out[before + at - text.size()]);
  }

  SuffixDrafterOptions options_;
  SuffixAutomaton own_;
  std::vector<Past> past_;
};

class SuffixDrafter final : public Drafter {
 public:
  explicit SuffixDrafter(const SuffixDrafterOptions& options) : options_(options), past_(options.past_bytes) {}
  std::string_view name() const override { return "suffix_automaton"; }
  std::unique_ptr<Drafting> open(const RequestView& request) override {
    return std::make_unique<SuffixDrafting>(options_, past_.of(request));
  }
  void finished(const SequenceView& sequence) override { past_.add(sequence.request, sequence.output); }

 private:
  SuffixDrafterOptions options_;
  PastAnswers past_;
};

}  // namespace

std::shared_ptr<Drafter> suffix_drafter(SuffixDrafterOptions options) {
  if (options.shortest_match == 0) throw Error(Errc::invalid_argument, "suffix_drafter: shortest_match is 0");
  if (options.draft_per_match == 0) throw Error(Errc::invalid_argument, "suffix_drafter: draft_per_match is 0");
  return std::make_shared<SuffixDrafter>(options);
}

}  // namespace frugal

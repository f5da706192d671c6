// A sequence reads its answer along three texts at once: its own, and the past answers' two generations. The longest
// match drafts; of equal ones its own, then the younger. How far is told by what matches of that length were worth.
#include <frugal/core/error.hpp>
#include <frugal/draft/drafters.hpp>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "draft/match_record.hpp"
#include "draft/past_answers.hpp"
#include "draft/suffix_automaton.hpp"

namespace frugal {
namespace {

using draft::MatchRecord;
using draft::PastAnswers;
using draft::SuffixAutomaton;

constexpr double all_memory = 1000, own_memory = 64;  // trials of a match length
constexpr double first_weight = 8, all_weight = 4;    // of the first guess, of what all sequences have seen

/// Without a trial: 1/2 after two tokens, 4/5 after eight.
double first_guess(std::uint32_t length) { return length / (length + 2.0); }

class SuffixDrafting final : public Drafting {
 public:
  SuffixDrafting(const SuffixDrafterOptions& options, std::vector<std::weak_ptr<const SuffixAutomaton>> past,
                 std::shared_ptr<MatchRecord> all, std::size_t prompt)
      : options_(options), all_(std::move(all)), prompt_(prompt) {
    for (auto& text : past) past_.push_back({std::move(text), {}});
  }

  void learn(std::span<const Token> accepted) override {
    lock();
    for (const Token token : accepted) {
      if (own_.text().size() >= prompt_) note(token);
      own_.push(token);
      for (Past& past : past_)
        if (past.text) past.match = token < 0 ? SuffixAutomaton::Match{} : past.text->follow(past.match, token);
    }
    unlock();
  }

  void propose(std::uint32_t most, std::vector<Token>& out) override {
    lock();
    const Source source = best();
    const std::uint32_t length = source.match.length;
    if (length >= options_.shortest_match) {
      most =
          static_cast<std::uint32_t>(std::min<std::uint64_t>(most, std::uint64_t{length} * options_.draft_per_match));
      most = likely_run(length, most);
      if (source.text != &own_) {
        copy(source.text->text().subspan(source.end), most, out);
      } else {
        repeat(source.end, most, out);
      }
    }
    unlock();
  }

 private:
  struct Past {
    std::weak_ptr<const SuffixAutomaton> held;
    SuffixAutomaton::Match match;
    std::shared_ptr<const SuffixAutomaton> text{};  ///< while it is read
  };
  struct Source {
    const SuffixAutomaton* text;
    SuffixAutomaton::Match match;
    std::uint32_t end;
  };

  void lock() {
    for (Past& past : past_) past.text = past.held.lock();
  }
  void unlock() {
    for (Past& past : past_) past.text.reset();
  }

  Source best() const {
    Source found{&own_, own_.repeated(), 0};
    found.end = own_.end_of(found.match);
    for (const Past& past : past_)
      if (past.text && past.match.length > found.match.length && !ends_there(*past.text, past.match))
        found = {past.text.get(), past.match, past.text->end_of(past.match)};
    return found;
  }

  // What would have been drafted is on record whether anyone asked or not, so a drafter that was silent can be heard
  // again.
  void note(Token token) {
    const Source source = best();
    if (source.match.length < options_.shortest_match) return;
    const bool kept = source.text->text()[source.end] == token;
    own_record_.note(source.match.length, kept);
    all_->note(source.match.length, kept);
  }

  /// Tokens until the whole run is too unlikely; each that stands makes the match one longer.
  std::uint32_t likely_run(std::uint32_t length, std::uint32_t most) const {
    double standing = 1;
    for (std::uint32_t i = 0; i < most; ++i) {
      const double prior = all_->likely(length + i, first_guess(length + i), first_weight);
      standing *= own_record_.likely(length + i, prior, all_weight);
      if (standing < options_.least_likely) return i;
    }
    return most;
  }

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
  std::shared_ptr<MatchRecord> all_;
  MatchRecord own_record_{own_memory};
  std::size_t prompt_;  // tokens ahead of the answer
};

class SuffixDrafter final : public Drafter {
 public:
  explicit SuffixDrafter(const SuffixDrafterOptions& options) : options_(options), past_(options.past_bytes) {}
  std::string_view name() const override { return "suffix_automaton"; }
  std::unique_ptr<Drafting> open(const RequestView& request) override {
    return std::make_unique<SuffixDrafting>(options_, past_.of(request), record_, request.prompt.size());
  }
  void finished(const SequenceView& sequence) override { past_.add(sequence.request, sequence.output); }

 private:
  SuffixDrafterOptions options_;
  PastAnswers past_;
  std::shared_ptr<MatchRecord> record_ = std::make_shared<MatchRecord>(all_memory);
};

}  // namespace

std::shared_ptr<Drafter> suffix_drafter(SuffixDrafterOptions options) {
  if (options.shortest_match == 0) throw Error(Errc::invalid_argument, "suffix_drafter: shortest_match is 0");
  if (options.draft_per_match == 0) throw Error(Errc::invalid_argument, "suffix_drafter: draft_per_match is 0");
  if (!(options.least_likely >= 0 && options.least_likely < 1))
    throw Error(Errc::invalid_argument, "suffix_drafter: least_likely is not in [0, 1)");
  return std::make_shared<SuffixDrafter>(options);
}

}  // namespace frugal

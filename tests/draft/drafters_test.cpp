#include <frugal/core/error.hpp>
#include <frugal/draft/drafters.hpp>

#include <rapidcheck.h>
#include <catch2/catch_test_macros.hpp>

#include "brute_force.hpp"

namespace frugal {
namespace {

using testing::answer_of;
using testing::Ids;
using testing::proposed;

/// Splits a text into the pieces in which it may be learned.
std::vector<Ids> in_pieces(const Ids& text) {
  std::vector<Ids> pieces;
  for (std::size_t at = 0; at < text.size();) {
    const auto n = *rc::gen::inRange<std::size_t>(1, text.size() - at + 1);
    pieces.emplace_back(text.begin() + static_cast<std::ptrdiff_t>(at),
                        text.begin() + static_cast<std::ptrdiff_t>(at + n));
    at += n;
  }
  return pieces;
}

Ids text_of_few_tokens() {
  const auto letters = *rc::gen::inRange<Token>(1, 8);
  return *rc::gen::resize(150, rc::gen::container<Ids>(rc::gen::inRange<Token>(0, letters)));
}

TEST_CASE("prompt lookup drafts what brute force finds: the latest of the longest matches") {
  CHECK(rc::check([] {
    const PromptLookupOptions options{.shortest_match = *rc::gen::inRange(1U, 4U),
                                      .longest_match = *rc::gen::inRange(4U, 9U),
                                      .draft_per_match = *rc::gen::inRange(1U, 4U),
                                      .most_candidates = 1000};
    const auto drafting = prompt_lookup(options)->open({});
    Ids text;
    for (const Ids& piece : in_pieces(text_of_few_tokens())) {
      drafting->learn(piece);
      text.insert(text.end(), piece.begin(), piece.end());
      const auto most = *rc::gen::inRange(1U, 20U);
      RC_ASSERT(proposed(*drafting, most) == testing::repeated_draft(text, options.shortest_match,
                                                                     options.longest_match, options.draft_per_match,
                                                                     most));
    }
  }));
}

TEST_CASE("the suffix drafter's match has any length") {
  CHECK(rc::check([] {
    const SuffixDrafterOptions options{
        .shortest_match = *rc::gen::inRange(1U, 4U), .draft_per_match = *rc::gen::inRange(1U, 4U), .least_likely = 0};
    const auto drafting = suffix_drafter(options)->open({});
    Ids text;
    for (const Ids& piece : in_pieces(text_of_few_tokens())) {
      drafting->learn(piece);
      text.insert(text.end(), piece.begin(), piece.end());
      const auto most = *rc::gen::inRange(1U, 20U);
      const auto place = testing::longest_match(text, text, text.size(), text.size());
      const Ids out = proposed(*drafting, most);
      if (place.length < options.shortest_match) {
        RC_ASSERT(out.empty());
        continue;
      }
      RC_ASSERT(out.size() == std::min<std::size_t>(most, place.length * options.draft_per_match));
      // With nested short matches another place of the same length may be drafted from: it must be one.
      bool found = false;
      for (std::size_t end = place.length; end < text.size() && !found; ++end)
        found = testing::common_end(std::span(text).first(end), text) >= place.length &&
                testing::going_on(text, end, out.size()) == out;
      RC_ASSERT(found);
    }
  }));
}

TEST_CASE("what repeats is drafted to repeat") {
  for (const auto& drafter : {prompt_lookup(), suffix_drafter({.least_likely = 0})}) {
    const auto drafting = drafter->open({});
    drafting->learn(Ids{9, 1, 2, 3, 1, 2, 3, 1, 2});
    CHECK(proposed(*drafting, 7) == Ids{3, 1, 2, 3, 1, 2, 3});
  }
}

TEST_CASE("a draft is no longer than its match is worth") {
  const Ids text{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2};
  for (const auto& drafter :
       {prompt_lookup({.draft_per_match = 2}), suffix_drafter({.draft_per_match = 2, .least_likely = 0})}) {
    const auto drafting = drafter->open({});
    drafting->learn(text);
    CHECK(proposed(*drafting, 16) == Ids{3, 4, 5, 6});
    CHECK(proposed(*drafting, 3) == Ids{3, 4, 5});
  }
}

TEST_CASE("matches that were wrong so far are left alone until they come true, and are followed far then") {
  const auto drafting = suffix_drafter()->open({});
  Ids text;
  const auto say = [&](Ids words) { drafting->learn(words), text.insert(text.end(), words.begin(), words.end()); };
  for (Token t = 0; t < 12; ++t) say({100, 101, 200 + t});  // 100 101 stood before and each time went on otherwise
  say({100, 101});
  CHECK(proposed(*drafting, 8).empty());
  Ids phrase;
  for (Token t = 0; t < 40; ++t) phrase.push_back(500 + t);
  say(phrase);
  say(Ids(phrase.begin(), phrase.begin() + 30));
  CHECK(proposed(*drafting, 8) == Ids(phrase.begin() + 30, phrase.begin() + 38));
}

TEST_CASE("what a prompt repeats says nothing of what the answer will") {
  Ids prompt;
  for (Token t = 0; t < 40; ++t) prompt.insert(prompt.end(), {100, 101, 200 + t});
  prompt.insert(prompt.end(), {100, 101});
  RequestView request;
  request.prompt = prompt;
  const auto with = suffix_drafter()->open(request), without = suffix_drafter()->open({});
  with->learn(prompt), without->learn(prompt);
  CHECK(proposed(*with, 8).size() == 2);
  CHECK(proposed(*without, 8).empty());
}

TEST_CASE("where nothing stood before there is no draft") {
  for (const auto& drafter : {prompt_lookup(), suffix_drafter()}) {
    const auto drafting = drafter->open({});
    CHECK(proposed(*drafting, 8).empty());
    drafting->learn(Ids{1});
    CHECK(proposed(*drafting, 8).empty());
    drafting->learn(Ids{2, 3, 4, 1, 9});
    CHECK(proposed(*drafting, 8).empty());
  }
}

TEST_CASE("proposals leave no trace") {
  const auto drafter =
      first_of({prompt_lookup({.shortest_match = 1}), suffix_drafter({.shortest_match = 1, .least_likely = 0})});
  const auto drafting = drafter->open({});
  drafting->learn(Ids{1, 2, 3, 1});
  const Ids once = proposed(*drafting, 4);
  CHECK(once == Ids{2, 3, 1, 2});
  CHECK(proposed(*drafting, 4) == once);
}

RequestView request_of(std::string_view tenant, std::string_view type, std::string_view model = "m") {
  return {.type = type, .tenant = tenant, .model = model};
}

TEST_CASE("a past answer drafts for the next request of the same type, model and tenant, and for no other") {
  const auto drafter = suffix_drafter({.least_likely = 0});
  const RequestView refund = request_of("a", "refund");
  const Ids answer{10, 11, 12, 13, 14, 15};
  drafter->finished(answer_of(refund, answer));
  const auto draft_for = [&](const RequestView& request) {
    const auto drafting = drafter->open(request);
    drafting->learn(Ids{1, 2, 3});  // the prompt
    drafting->learn(Ids{10, 11});
    return proposed(*drafting, 8);
  };
  CHECK(draft_for(refund) == Ids{12, 13, 14, 15});  // and no further than the answer went
  CHECK(draft_for(request_of("b", "refund")).empty());
  CHECK(draft_for(request_of("a", "greeting")).empty());
  CHECK(draft_for(request_of("a", "refund", "other")).empty());
  CHECK(draft_for(request_of("", "arefund")).empty());
  CHECK(draft_for(request_of("arefund", "")).empty());
}

TEST_CASE("two past answers are not read as one text") {
  const auto drafter = suffix_drafter();
  const RequestView request = request_of("a", "t");
  drafter->finished(answer_of(request, Ids{1, 2, 3}));
  drafter->finished(answer_of(request, Ids{4, 5, 6}));
  const auto drafting = drafter->open(request);
  drafting->learn(Ids{2, 3});
  CHECK(proposed(*drafting, 8).empty());
  drafting->learn(Ids{4, 5});
  CHECK(proposed(*drafting, 8) == Ids{6});
}

TEST_CASE("an answer that ends while another is being written helps it at once") {
  const auto drafter = suffix_drafter();
  const RequestView request = request_of("a", "t");
  drafter->finished(answer_of(request, Ids{1, 2, 3}));
  const auto drafting = drafter->open(request);
  drafting->learn(Ids{99});
  drafter->finished(answer_of(request, Ids{7, 8, 9, 10}));
  drafting->learn(Ids{7, 8});
  CHECK(proposed(*drafting, 8) == Ids{9, 10});
}

TEST_CASE("no past is kept where it may take no memory") {
  const auto drafter = suffix_drafter({.past_bytes = 0});
  const RequestView request = request_of("a", "t");
  drafter->finished(answer_of(request, Ids{1, 2, 3, 4}));
  const auto drafting = drafter->open(request);
  drafting->learn(Ids{1, 2});
  CHECK(proposed(*drafting, 8).empty());
}

/// Drafts one token, always the same; counts what it is told.
class Fixed final : public Drafter {
 public:
  explicit Fixed(Token token, std::size_t* learned = nullptr) : token_(token), learned_(learned) {}
  std::string_view name() const override { return "fixed"; }
  std::unique_ptr<Drafting> open(const RequestView& request) override {
    return request.type == "none" ? nullptr : std::make_unique<One>(token_, learned_);
  }
  void finished(const SequenceView& sequence) override { answers += sequence.output.size(); }
  std::size_t answers = 0;

 private:
  struct One final : Drafting {
    One(Token t, std::size_t* l) : token(t), learned(l) {}
    void learn(std::span<const Token> accepted) override {
      if (learned != nullptr) *learned += accepted.size();
    }
    void propose(std::uint32_t, std::vector<Token>& out) override {
      if (token >= 0) out.push_back(token);
    }
    Token token;
    std::size_t* learned;
  };
  Token token_;
  std::size_t* learned_;
};

TEST_CASE("first_of takes the first idea and bothers nobody behind it") {
  std::size_t first = 0, second = 0, third = 0;
  const auto chain = first_of(
      {std::make_shared<Fixed>(-1, &first), std::make_shared<Fixed>(5, &second), std::make_shared<Fixed>(6, &third)});
  const auto drafting = chain->open({});
  drafting->learn(Ids{1, 2, 3});
  CHECK(proposed(*drafting, 4) == Ids{5});
  drafting->learn(Ids{4});
  CHECK(proposed(*drafting, 4) == Ids{5});
  CHECK((first == 4 && second == 4 && third == 0));
}

TEST_CASE("first_of tells every drafter of a finished answer, and has nothing to offer where none has") {
  const auto a = std::make_shared<Fixed>(1), b = std::make_shared<Fixed>(2);
  const auto chain = first_of({a, b});
  const RequestView request;
  chain->finished(answer_of(request, Ids{1, 2}));
  CHECK((a->answers == 2 && b->answers == 2));
  CHECK(chain->open({.type = "none"}) == nullptr);
}

TEST_CASE("options that make no sense are named") {
  CHECK_THROWS_AS(prompt_lookup({.shortest_match = 0}), Error);
  CHECK_THROWS_AS(prompt_lookup({.shortest_match = 3, .longest_match = 2}), Error);
  CHECK_THROWS_AS(prompt_lookup({.draft_per_match = 0}), Error);
  CHECK_THROWS_AS(prompt_lookup({.most_candidates = 0}), Error);
  CHECK_THROWS_AS(suffix_drafter({.shortest_match = 0}), Error);
  CHECK_THROWS_AS(suffix_drafter({.draft_per_match = 0}), Error);
  CHECK_THROWS_AS(suffix_drafter({.least_likely = 1}), Error);
  CHECK_THROWS_AS(first_of(std::vector<std::shared_ptr<Drafter>>{}), Error);
  CHECK_THROWS_AS(first_of({prompt_lookup(), nullptr}), Error);
}

}  // namespace
}  // namespace frugal

// stay_with_tier: where moving a conversation would bill its prefix again, it goes on where it is.
#include <frugal/core/error.hpp>
#include <frugal/policy/cascade.hpp>

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

// Big costs four times as much, but reads its cache at a tenth.
StayOptions prices() {
  return {.prices = {{.input = 1, .cached = 0.1, .output = 4}, {.input = 4, .cached = 0.4, .output = 16}}};
}

struct Talk {
  std::shared_ptr<CascadePolicy> policy;
  TimePoint now{};

  RequestView view(std::string_view conversation) const {
    RequestView v;
    v.conversation = conversation;
    v.text = "and then?";
    v.now = now;
    return v;
  }
  std::size_t first(std::string_view conversation) { return policy->first(view(conversation), 2); }
  // The cheap tier was asked and, where `last`, the dear one answered.
  void answered(std::string_view conversation, bool last, std::uint64_t input, std::uint64_t output = 20) {
    const RequestView request = view(conversation);
    std::vector<TryOutcome> tries{{.endpoint = 0, .usage = {.input = input, .output = output}}};
    if (last) tries.push_back({.endpoint = 1, .usage = {.input = input, .output = output}});
    policy->learn({request, 2, tries, tries.size() - 1, FinishReason::stop});
  }
  // The dear tier answered at once.
  void answered_above(std::string_view conversation, std::uint64_t input = 5000, std::uint64_t output = 20) {
    const RequestView request = view(conversation);
    const std::vector<TryOutcome> only_big{{.endpoint = 1, .usage = {.input = input, .output = output}}};
    policy->learn({request, 2, only_big, 0, FinishReason::stop});
  }
};

}  // namespace

TEST_CASE("a conversation stays with the dear tier while its cached prefix is cheaper there than cold below") {
  Talk t{stay_with_tier(margin_threshold(0.5), prices())};
  CHECK(t.first("a") == 0);  // nothing is known of it
  // The cheap tier has seen the prompt as well here: with both caches warm the cheap one is cheaper.
  t.answered("a", true, 5000);
  CHECK(t.first("a") == 0);
  // Now the conversation grows on the dear tier alone.
  t.answered_above("b");
  CHECK(t.first("b") == 1);  // 0.4 * 5020 + 320 + new text, beside 1 * 5022 + 80 and what escalates
  CHECK(t.first("c") == 0);
  CHECK(t.first("") == 0);
}

TEST_CASE("a prefix that has gone cold holds nobody, and neither does a short one with a long answer") {
  Talk t{stay_with_tier(margin_threshold(0.5), prices())};
  t.answered_above("a");
  CHECK(t.first("a") == 1);
  t.now += std::chrono::minutes(6);
  CHECK(t.first("a") == 0);

  for (int i = 0; i < 200; ++i) t.answered("other", false, 50);  // the cheap tier hardly ever escalates
  t.answered_above("b", 100, 900);
  CHECK(t.first("b") == 0);
}

TEST_CASE("an answer of the cheap tier brings the conversation back, and what it never asked for it never moves up") {
  Talk t{stay_with_tier(margin_threshold(0.5), prices())};
  t.answered_above("a");
  t.answered("a", false, 5100);
  CHECK(t.first("a") == 0);
  Talk up{stay_with_tier(when([](const RequestView&) { return false; }, margin_threshold(0.5)), prices())};
  up.answered("a", false, 5000);
  CHECK(up.first("a") == 1);  // the inner policy wants the last one, whatever is cached below
}

TEST_CASE("the conversation that was silent longest is forgotten first") {
  StayOptions o = prices();
  o.most_conversations = 2;
  Talk t{stay_with_tier(margin_threshold(0.5), o)};
  const std::vector<TryOutcome> big{{.endpoint = 1, .usage = {.input = 5000, .output = 20}}};
  for (const char* name : {"a", "b", "a", "c"}) t.policy->learn({t.view(name), 2, big, 0, FinishReason::stop});
  CHECK(t.first("a") == 1);
  CHECK(t.first("b") == 0);
  CHECK(t.first("c") == 1);
}

TEST_CASE("stay_with_tier needs prices that make sense, and passes every other question on") {
  const auto refused = [](StayOptions o, const char* what) {
    CHECK(mentions(error_of([&] { (void)stay_with_tier(margin_threshold(0.5), std::move(o)); }), what));
  };
  refused({}, "at least two");
  refused({.prices = {{.input = -1}, {}}}, "negative");
  refused({.prices = {{}, {}}, .keep = Duration::zero()}, "keep");
  refused({.prices = {{}, {}}, .most_conversations = 0}, "most_conversations");
  CHECK(mentions(error_of([] { (void)stay_with_tier(nullptr, prices()); }), "nothing to ask"));
  const auto policy = stay_with_tier(commit_after(margin_threshold(0.5, 0), 1, 0.9, 0), prices());
  CHECK(policy->name() == "margin_threshold");
  CHECK(policy->judges_running());
  const RequestView request;
  const std::vector<TokenScore> sure{{.margin = 1}};
  CHECK(policy->judge_running({.request = request, .endpoints = 2, .text = "x", .scores = sure}).commit);
  CHECK(policy->judge({.request = request, .endpoints = 2, .text = "x", .scores = sure, .finish = FinishReason::stop})
            .accepted());
}

#include <frugal/core/error.hpp>
#include <frugal/policy/output.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>

namespace frugal {
namespace {

// Feeds an answer piece by piece, as tokens arrive; returns how many pieces were taken when the policy stopped, 0 =
// never.
std::size_t stops_after(OutputPolicy& policy, const std::vector<std::string>& pieces) {
  const RequestView request;
  std::string text;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    text += pieces[i];
    if (policy.after({.request = request, .text = text, .new_text = pieces[i].size()})) return i + 1;
  }
  return 0;
}

TEST_CASE("max_tokens: a budget, and nothing to say afterwards") {
  const auto policy = max_tokens(256);
  CHECK(policy->name() == "max_tokens");
  CHECK(policy->budget({}) == 256);
  CHECK(stops_after(*policy, {"a", "b"}) == 0);
  CHECK_THROWS_AS(max_tokens(0), Error);
}

TEST_CASE("stop_on ends the answer at the piece that completes a text, also across pieces") {
  const auto policy = stop_on({"\n\n", "</answer>"});
  CHECK(policy->budget({}) == 0);
  CHECK(stops_after(*policy, {"one", " line\n", "\n", "more"}) == 3);
  CHECK(stops_after(*policy, {"x</", "ans", "wer> tail"}) == 3);
  CHECK(stops_after(*policy, {"a\n", "b\n", "c"}) == 0);
  CHECK(stops_after(*policy, {"</answer>"}) == 1);
  const RequestView request;
  const auto stop = policy->after({.request = request, .text = "a\n\n", .new_text = 1});
  CHECK(stop == Stop{.policy = "stop_on", .trim_tokens = 0});
}

TEST_CASE("stop_on does not look again at text that was there before") {
  const auto policy = stop_on({"##"});
  const RequestView request;
  CHECK_FALSE(policy->after({.request = request, .text = "## x", .new_text = 1}));
  CHECK_FALSE(policy->after({.request = request, .text = "##", .new_text = 0}));
  CHECK(policy->after({.request = request, .text = "a##", .new_text = 50}));
  CHECK_THROWS_AS(stop_on({"a", ""}), Error);
}

TEST_CASE("first_of: the first opinion counts, question by question") {
  const auto policy = first_of({stop_on({"."}), max_tokens(8), max_tokens(4)});
  CHECK(policy->budget({}) == 8);
  CHECK(stops_after(*policy, {"a", "b."}) == 2);
  CHECK_THROWS_AS(first_of(std::vector<std::shared_ptr<OutputPolicy>>{}), Error);
  CHECK_THROWS_AS(first_of({max_tokens(1), nullptr}), Error);
}

TEST_CASE("for_type and when: no opinion about other requests") {
  const auto policy = for_type("refund", first_of({max_tokens(8), stop_on({"!"})}));
  CHECK(policy->budget({.type = "refund"}) == 8);
  CHECK(policy->budget({.type = "chat"}) == 0);
  const RequestView refund{.type = "refund"}, chat{.type = "chat"};
  CHECK(policy->after({.request = refund, .text = "no!", .new_text = 1}));
  CHECK_FALSE(policy->after({.request = chat, .text = "no!", .new_text = 1}));
  CHECK(when([](const RequestView& r) { return r.tenant.empty(); }, max_tokens(3))->budget({}) == 3);
}

TEST_CASE("caps by type, the rest by a default") {
  const auto policy =
      first_of({for_type("refund", max_tokens(40)), for_type("status", max_tokens(20)), max_tokens(200)});
  CHECK(policy->budget({.type = "refund"}) == 40);
  CHECK(policy->budget({.type = "status"}) == 20);
  CHECK(policy->budget({.type = "other"}) == 200);
}

TEST_CASE("limited lowers a budget and stands in for a missing one") {
  CHECK(limited(max_tokens(100), 30)->budget({}) == 30);
  CHECK(limited(max_tokens(10), 30)->budget({}) == 10);
  CHECK(limited(stop_on({"."}), 30)->budget({}) == 30);
  CHECK(stops_after(*limited(stop_on({"."}), 30), {"."}) == 1);
  CHECK(limited(max_tokens(10), 30)->name() == "max_tokens");
  CHECK_THROWS_AS(limited(max_tokens(1), 0), Error);
}

}  // namespace
}  // namespace frugal

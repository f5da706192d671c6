// The policy file and the policy that serves: what it decides is what was evaluated, and what it cannot judge goes up.
#include <frugal/calibrate/evaluate.hpp>
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <ctime>
#include <nlohmann/json.hpp>

#include "calibrate/world.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_instrumented = true;
#else
constexpr bool is_instrumented = false;
#endif

const std::vector<std::string> tiers{"small", "big"};

FittedCascade routed() {
  return fit_cascade(make({.n = 2000, .scores = false}), {.guarantee = {.limit = 0.05}, .date = "2026-01-02"}).value();
}

// Outcomes whose cheap answers end in a full stop where they are right and trail off where they are not: a feature that
// is measured on live answers too.
Outcomes telling(std::uint64_t seed) {
  Outcomes all = make({.n = 2000, .seed = seed, .scores = false});
  for (Outcome& row : all.rows) row.attempts[0].output = row.attempts[0].quality == 1 ? "It is so." : "It is (well";
  return all;
}

FittedCascade judged() {
  return fit_cascade(telling(1), {.guarantee = {.kind = Guarantee::Kind::max_error, .limit = 0.05}}).value();
}

RequestView view(const Outcome& row) {
  RequestView v;
  v.type = row.type;
  v.text = *row.prompt;
  return v;
}

AttemptView attempt(const RequestView& request, std::string_view text, FinishReason finish = FinishReason::stop) {
  return {.request = request, .endpoint = 0, .endpoints = 2, .text = text, .finish = finish};
}

}  // namespace

TEST_CASE("a policy file gives back the same policy") {
  for (const FittedCascade& fitted : {routed(), judged()}) {
    const FittedCascade again = FittedCascade::from_json(fitted.to_json(), "p.json");
    CHECK(again.to_json() == fitted.to_json());
    CHECK(again.method() == fitted.method());
    CHECK(again.facts().p_value == fitted.facts().p_value);
    CHECK(again.facts().p_value <= 0.05);
  }
}

TEST_CASE("a policy file that was changed, cut, or is of another format is refused by name") {
  const std::string good = routed().to_json();
  const auto refused = [](const std::string& text, const char* what, Errc code = Errc::bad_file) {
    const Error error = error_of([&] { (void)FittedCascade::from_json(text, "p.json"); });
    CAPTURE(error.message());
    CHECK(error.code() == code);
    CHECK(mentions(error, "p.json"));
    CHECK(mentions(error, what));
  };
  std::string edited = good;
  edited.replace(edited.find("0.05"), 4, "0.50");
  refused(edited, "checksum");
  refused(good.substr(0, good.size() / 2), "the JSON ends too early");
  refused("{}", "not a cascade policy file");
  std::string newer = good;
  newer.replace(newer.find("\"frugal_cascade_policy\": 3"), 26, "\"frugal_cascade_policy\": 9");
  refused(newer, "format 9", Errc::unsupported);
  CHECK(mentions(error_of([] { (void)load_cascade_policy("/no/such/policy", tiers); }), "/no/such/policy"));
}

TEST_CASE("a policy is refused with other tiers, and where it needs what only the records have") {
  const std::vector<std::string> other{"big", "small"};
  CHECK(mentions(error_of([&] { (void)routed().policy(other); }), "fitted for the tiers \"small\", \"big\""));
  const FittedCascade scored =
      fit_cascade(make({.n = 3000}), {.guarantee = {.kind = Guarantee::Kind::max_error, .limit = 0.08}}).value();
  CHECK(mentions(error_of([&] { (void)scored.policy(tiers); }), "\"score\""));
}

TEST_CASE("a routing policy serves as it was evaluated") {
  const FittedCascade fitted = routed();
  REQUIRE(fitted.method() == "route");
  const auto policy = fitted.policy(tiers);
  const Outcomes fresh = make({.n = 500, .seed = 5, .scores = false});
  std::size_t cheap = 0;
  for (const Outcome& row : fresh.rows) cheap += policy->first(view(row), 2) == 0 ? 1 : 0;
  CHECK(static_cast<double>(cheap) / 500 == evaluate(fitted, fresh).all.accepted_share);
  CHECK(cheap > 0);
  CHECK(cheap < 500);
  const RequestView request = view(fresh.rows[0]);
  CHECK(policy->judge(attempt(request, "an answer")).accepted());
  CHECK(policy->judge(attempt(request, "")).next == 1);
  CHECK(policy->judge(attempt(request, "x", FinishReason::error)).next == 1);
}

TEST_CASE("a judging policy serves as it was evaluated") {
  const FittedCascade fitted = judged();
  REQUIRE(fitted.method() == "judge");
  const auto policy = fitted.policy(tiers);
  const Outcomes fresh = telling(5);
  std::size_t accepted = 0;
  for (const Outcome& row : fresh.rows) {
    const RequestView request = view(row);
    REQUIRE(policy->first(request, 2) == 0);
    const Verdict verdict = policy->judge(attempt(request, *row.attempts[0].output));
    accepted += verdict.accepted() ? 1 : 0;
    CHECK(verdict.score.has_value());
  }
  CHECK(static_cast<double>(accepted) / 2000 == evaluate(fitted, fresh).all.accepted_share);
  CHECK(accepted > 500);
}

TEST_CASE("what a policy has not seen or cannot measure goes to the last tier, never silently through") {
  const auto route = routed().policy(tiers);
  RequestView unseen;
  unseen.type = "poetry";
  unseen.text = "x";
  CHECK(route->first(unseen, 2) == 1);
  RequestView no_text;
  no_text.type = "type0";
  CHECK(route->first(no_text, 2) == 1);
  const auto judge = judged().policy(tiers);
  CHECK(judge->first(unseen, 2) == 1);
  CHECK(judge->judge(attempt(no_text, "It is so.")).next == 1);
}

TEST_CASE("a policy that was fitted on named models serves these, byte for byte, and no others") {
  Outcomes all = make({.n = 2000, .scores = false});
  all.models = {"small@1", "big@2"};
  const FittedCascade fitted =
      FittedCascade::from_json(fit_cascade(all, {.guarantee = {.limit = 0.05}}).value().to_json(), "p");
  const std::vector<ServedTier> same{{"small", "small@1"}, {"big", "big@2"}};
  CHECK(fitted.policy(same) != nullptr);
  CHECK(fitted.models() == all.models);
  CHECK(routed().models() == std::vector<std::string>{"", ""});
  const std::vector<ServedTier> other{{"small", "small@1"}, {"big", "big@3"}}, unnamed{{"small", ""}, {"big", "big@2"}};
  CHECK(mentions(error_of([&] { (void)fitted.policy(other); }),
                 "as the model big@2, and is asked to serve the model big@3"));
  CHECK(mentions(error_of([&] { (void)fitted.policy(unnamed); }), "a model that is not named"));
  CHECK(mentions(error_of([&] { (void)fitted.policy(tiers); }), "a model that is not named"));
  CHECK(mentions(error_of([&] { (void)routed().policy(same); }), "a model that was not recorded"));
}

TEST_CASE("a tightened policy accepts about half as much") {
  const FittedCascade fitted = judged();
  const std::vector<ServedTier> served{{"small", ""}, {"big", ""}};
  const auto open = fitted.policy(served), tight = fitted.tightened(served);
  // The feature says only right or wrong here, so lengths of prompts part the answers that are alike.
  std::size_t many = 0, few = 0;
  for (const Outcome& row : telling(6).rows) {
    const RequestView request = view(row);
    many += open->judge(attempt(request, *row.attempts[0].output)).accepted() ? 1 : 0;
    few += tight->judge(attempt(request, *row.attempts[0].output)).accepted() ? 1 : 0;
  }
  CHECK(few < many);
  CHECK(few > many / 4);
}

TEST_CASE("a judgement takes less than a millisecond, however long prompt and answer are") {
  const auto policy = judged().policy(tiers);
  const std::string prompt(1 << 20, 'p'), text = "[" + std::string(1 << 20, '1') + "]";
  const std::vector<TokenScore> scores(100000, TokenScore{.token = 1, .logprob = -0.5F, .margin = 0.5F});
  RequestView request;
  request.type = "type0";
  request.text = prompt;
  AttemptView view = attempt(request, text);
  view.scores = scores;
  double least = 1e9;  // of this thread's own time, so that neighbours do not count
  for (int i = 0; i < 20; ++i) {
    const std::clock_t began = std::clock();
    (void)policy->judge(view);
    (void)policy->first(request, 2);
    least = std::min(least, 1000.0 * static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC);
  }
  CAPTURE(least);
  CHECK(least < (is_instrumented ? 50.0 : 1.0));  // a sanitizer makes every load several times as slow
}

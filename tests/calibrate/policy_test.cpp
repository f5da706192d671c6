// The policy file and the policy that serves: what it decides is what was evaluated, and what it cannot judge goes up.
#include <frugal/calibrate/evaluate.hpp>
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "calibrate/world.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

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
  newer.replace(newer.find("\"frugal_cascade_policy\": 1"), 26, "\"frugal_cascade_policy\": 9");
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

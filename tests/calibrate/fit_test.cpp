// Fitting and certifying on a service whose truth is known.
#include <frugal/calibrate/evaluate.hpp>
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "calibrate/world.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

FitOptions loss_at_most(double limit) { return {.guarantee = {.kind = Guarantee::Kind::max_loss, .limit = limit}}; }
FitOptions error_at_most(double limit) { return {.guarantee = {.kind = Guarantee::Kind::max_error, .limit = limit}}; }

// Fits and evaluates on fresh outcomes, `runs` times.
struct Trial {
  int feasible = 0, held = 0;
  double cost = 0;
};
Trial trial(const FitOptions& options, World world, int runs) {
  Trial t;
  for (int i = 0; i < runs; ++i) {
    world.seed = static_cast<std::uint64_t>(2 * i + 1);
    const expected<FittedCascade> fitted = fit_cascade(make(world), options);
    if (!fitted) continue;
    ++t.feasible;
    world.seed = static_cast<std::uint64_t>(2 * i + 2);
    const Evaluation e = evaluate(*fitted, make(world));
    t.held += e.held ? 1 : 0;
    t.cost += e.all.cost_share_of_last.value();
  }
  t.cost /= t.feasible;
  return t;
}

}  // namespace

TEST_CASE("a certified loss holds on fresh outcomes at the stated rate, and money is saved") {
  const Trial t = trial(loss_at_most(0.05), {.n = 1500}, 60);
  CHECK(t.feasible >= 58);
  CHECK(t.held >= t.feasible * 0.9);  // 95 % promised; sixty draws of it
  CHECK(t.cost < 0.75);
}

TEST_CASE("a certified error among accepted answers holds on fresh outcomes at the stated rate") {
  const Trial t = trial(error_at_most(0.12), {.n = 1500}, 60);
  CHECK(t.feasible >= 50);
  CHECK(t.held >= t.feasible * 0.9);
  CHECK(t.cost < 0.95);
}

TEST_CASE("scores are used where they are there, types alone where they are not") {
  const FittedCascade with = fit_cascade(make({.n = 3000}), error_at_most(0.08)).value();
  CHECK(with.method() == "judge");
  const FittedCascade without = fit_cascade(make({.n = 3000, .scores = false}), loss_at_most(0.05)).value();
  CHECK(without.method() == "route");
  CHECK(without.facts().cost_share < 0.8);
  const FittedCascade bare =
      fit_cascade(make({.n = 3000, .scores = false, .prompts = false}), loss_at_most(0.05)).value();
  CHECK(bare.facts().accepted_share > 0.1);
}

TEST_CASE("an infeasible bound says the smallest feasible one, and whether more outcomes would do") {
  const expected<FittedCascade> few = fit_cascade(make({.n = 60}), loss_at_most(0.02));
  REQUIRE_FALSE(few);
  CHECK(few.error().code() == Errc::invalid_argument);
  CHECK(mentions(few.error(), "no threshold keeps a loss of at most 0.02"));
  CHECK(mentions(few.error(), "outcomes like these would do"));
  const expected<FittedCascade> bad = fit_cascade(make({.n = 1000, .small_penalty = 0.9}), error_at_most(0.05));
  REQUIRE_FALSE(bad);
  CHECK(mentions(bad.error(), "smallest feasible limit"));
  CHECK(mentions(bad.error(), "wrong too often"));
}

TEST_CASE("a judge is chosen where only few answers may be taken, though asking the small tier is paid for each") {
  Outcomes outcomes = make({.n = 1500});
  for (Outcome& row : outcomes.rows) row.type = "one";  // nothing but the score tells answers apart
  const expected<FittedCascade> fitted = fit_cascade(outcomes, error_at_most(0.08));
  REQUIRE(fitted);
  CHECK(fitted->method() == "judge");
  CHECK(fitted->facts().accepted_share < 0.5);
  CHECK(fitted->facts().cost_share < 1);
}

TEST_CASE("a policy that would save nothing is no policy: the refusal says what it would cost") {
  Outcomes outcomes = make({.n = 2000, .prompts = false});
  for (Outcome& row : outcomes.rows) row.attempts[0].cost = 1.2 * row.attempts[1].cost;
  const expected<FittedCascade> fitted =
      fit_cascade(outcomes, {.guarantee = {.kind = Guarantee::Kind::max_loss, .limit = 0.2}});
  REQUIRE_FALSE(fitted);
  CAPTURE(fitted.error().message());
  CHECK(mentions(fitted.error(), "no useful threshold is feasible"));
  CHECK(mentions(fitted.error(), "of the cost of always asking the last tier"));
}

TEST_CASE("options out of range and outcomes too few are refused by name") {
  const Outcomes all = make({.n = 100});
  const auto refused = [&](FitOptions o, const char* what, const Outcomes& outcomes) {
    const Error error = error_of([&] { (void)fit_cascade(outcomes, o); });
    CAPTURE(error.message());
    CHECK(error.code() == Errc::invalid_argument);
    CHECK(mentions(error, what));
  };
  refused(loss_at_most(0), "limit", all);
  refused(loss_at_most(1), "limit", all);
  refused(loss_at_most(NAN), "limit", all);
  FitOptions o = loss_at_most(0.05);
  o.guarantee.confidence = 1;
  refused(o, "confidence", all);
  o = loss_at_most(0.05);
  o.calibration_share = 0.95;
  refused(o, "calibration share", all);
  refused(loss_at_most(0.05), "only 10 outcomes", make({.n = 10}));
}

TEST_CASE("a class that never varies is fitted without trouble") {
  Outcomes all = make({.n = 400});
  for (Outcome& row : all.rows) row.attempts[0].quality = row.attempts[1].quality = 1;
  const FittedCascade fitted = fit_cascade(all, loss_at_most(0.05)).value();
  CHECK(fitted.facts().accepted_share > 0.99);
  CHECK(fitted.facts().loss == 0);
  for (Outcome& row : all.rows) row.attempts[0].quality = 0;
  CHECK_FALSE(fit_cascade(all, error_at_most(0.1)));
}

TEST_CASE("the same outcomes and seed give the same policy, another seed another split") {
  const Outcomes all = make({.n = 800});
  FitOptions o = loss_at_most(0.05);
  CHECK(fit_cascade(all, o).value().to_json() == fit_cascade(all, o).value().to_json());
  const std::string first = fit_cascade(all, o).value().to_json();
  o.seed = 2;
  CHECK(fit_cascade(all, o).value().to_json() != first);
}

TEST_CASE("an evaluation's numbers are those of a plain recount") {
  const FittedCascade fitted = fit_cascade(make({.n = 1500}), loss_at_most(0.05)).value();
  const Outcomes fresh = make({.n = 500, .seed = 9});
  const Evaluation e = evaluate(fitted, fresh);
  CHECK(e.all.n == 500);
  std::uint64_t n = 0;
  double accepted = 0, loss = 0;
  for (const EvaluationOf& t : e.by_type) {
    n += t.n;
    accepted += t.accepted_share * double(t.n);
    loss += t.loss_against_last * double(t.n);
  }
  CHECK(n == 500);
  CHECK_THAT(e.all.accepted_share, Catch::Matchers::WithinAbs(accepted / 500, 1e-12));
  CHECK_THAT(e.all.loss_against_last, Catch::Matchers::WithinAbs(loss / 500, 1e-12));
  CHECK(e.held == (e.all.loss_against_last <= 0.05));
  double right = 0;
  for (const Outcome& row : fresh.rows) right += row.attempts[1].quality;
  CHECK_THAT(e.front[1].accuracy, Catch::Matchers::WithinAbs(right / 500, 1e-12));
  CHECK(e.front[1].cost_share == 1);
  CHECK(e.area_of_gap_recovered.value() > 0.5);  // better than a random mix

  const auto json = nlohmann::json::parse(evaluation_json(fitted, e));
  CHECK(json["n"] == 500);
  CHECK(json["accepted_share"] == e.all.accepted_share);
  CHECK(json["loss_against_last"] == e.all.loss_against_last);
  CHECK(json["cost_share_of_last"] == *e.all.cost_share_of_last);
  CHECK(json["by_type"].size() == 4);
  CHECK(json["guarantee"]["held"] == e.held);
  CHECK(evaluation_html(fitted, e).find("</html>") != std::string::npos);
}

TEST_CASE("a page shows foreign names as text, whatever bytes they hold") {
  Outcomes all = make({.n = 400, .scores = false});
  for (Outcome& row : all.rows)
    if (row.type == "type0") row.type = "<script>\xFF\x1B'";
  const FittedCascade fitted = fit_cascade(all, loss_at_most(0.2)).value();
  const std::string page = evaluation_html(fitted, evaluate(fitted, all));
  CHECK(page.find("<script>") == std::string::npos);
  CHECK(page.find('\xFF') == std::string::npos);
  CHECK(page.find('\x1B') == std::string::npos);
  CHECK(page.find("&lt;script&gt;\\xFF\\x1B&#39;") != std::string::npos);
}

TEST_CASE("outcomes of other tiers or without the features judged by are refused") {
  const FittedCascade fitted = fit_cascade(make({.n = 3000}), error_at_most(0.08)).value();
  Outcomes other = make({.n = 50});
  other.tiers[0] = "tiny";
  CHECK(mentions(error_of([&] { (void)evaluate(fitted, other); }), "other tiers"));
  CHECK(mentions(error_of([&] { (void)evaluate(fitted, make({.n = 50, .scores = false})); }), "lacks a feature"));
  CHECK(mentions(error_of([&] { (void)evaluate(fitted, Outcomes{fitted.tiers(), {}}); }), "no outcomes"));
}

TEST_CASE("fractional grades are bounded as well") {
  Outcomes all = make({.n = 2000});
  for (Outcome& row : all.rows)
    for (TierOutcome& a : row.attempts) a.quality = 0.2 + 0.7 * a.quality;
  const FittedCascade fitted = fit_cascade(all, loss_at_most(0.08)).value();
  CHECK(fitted.facts().accepted_share > 0.1);
  CHECK(evaluate(fitted, all).all.loss_against_last < 0.08);
}

TEST_CASE(
    "with thresholds by type, every type's own bound holds on fresh outcomes, and types that are rare share one") {
  FitOptions options = error_at_most(0.15);
  options.by_type = true;
  int types = 0, broken = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Outcomes all = make({.n = 3000, .seed = seed});
    for (std::size_t i = 0; i < 60; ++i) all.rows[i].type = i % 2 == 0 ? "rare" : "rarer";
    const expected<FittedCascade> fitted = fit_cascade(all, options);
    if (!fitted) continue;
    CHECK(fitted->facts().thresholds >= 2);
    const FittedCascade again = FittedCascade::from_json(fitted->to_json(), "p");
    for (const EvaluationOf& t : evaluate(again, make({.n = 3000, .seed = 1000 + seed})).by_type) {
      if (!t.error_among_accepted) continue;
      ++types;
      broken += *t.error_among_accepted > 0.15 ? 1 : 0;
    }
  }
  CAPTURE(types, broken);
  CHECK(types >= 20);
  CHECK(broken <= types * 0.05 + 2);
}

TEST_CASE("without labels, right is what agrees with the last tier") {
  Outcomes all = make({.n = 2});
  all.rows[0].attempts[0].output = " Yes.", all.rows[0].attempts[1].output = "yes";
  all.rows[1].attempts[0].output = "no", all.rows[1].attempts[1].output = "yes";
  const Outcomes agreed = agreement_with_last(all);
  CHECK(agreed.rows[0].attempts[0].quality == 1);
  CHECK(agreed.rows[1].attempts[0].quality == 0);
  CHECK(agreed.rows[1].attempts[1].quality == 1);
  all.rows[1].attempts[0].output.reset();
  CHECK(mentions(error_of([&] { (void)agreement_with_last(all); }), "outcome \"1\" has an attempt without its output"));
}

// The isotonic judge: steps over one feature, beside the logistic one.
#include "calibrate/isotonic.hpp"

#include <frugal/calibrate/evaluate.hpp>
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "calibrate/fitted.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::calibrate;
using namespace frugal::testing;

namespace {

// Right where the margin is above 0.7, a toss-up below it: a cliff. The feature grows so fast with the margin that a
// linear rule sees its largest values only, and goes by the hint, which tells little.
Outcomes cliff(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform;
  std::normal_distribution<double> noise;
  Outcomes out;
  out.tiers = {"small", "big"};
  for (std::size_t i = 0; i < n; ++i) {
    Outcome row;
    row.id = std::to_string(i), row.type = "one";
    const double margin = uniform(random);
    TierOutcome small, big;
    small.quality = uniform(random) < (margin > 0.7 ? 0.99 : 0.55) ? 1 : 0;
    small.features = {{"steep", std::exp(20 * margin)}, {"hint", 0.5 * small.quality + noise(random)}};
    small.cost = 0.05, big.cost = 1;
    big.quality = uniform(random) < 0.95 ? 1 : 0;
    row.attempts = {small, big};
    out.rows.push_back(std::move(row));
  }
  return out;
}

}  // namespace

TEST_CASE("steps are the means of pooled violators, rise or fall with the feature, and are joined by lines") {
  const std::vector<Example> examples{{{1}}, {{2}}, {{3}}, {{4}}, {{5}}, {{6}}};
  const std::vector<double> rising{0, 1, 0, 0, 1, 1};
  const Isotonic up = fit_isotonic(examples, rising).value();
  REQUIRE(up.at.size() == 3);  // {1}, {2, 3, 4}, and {5, 6}, whose equal levels are one step
  CHECK(up.at == std::vector<double>{1, 3, 5.5});
  const double mean = 0.5;
  CHECK(std::abs(up.probability[0] - mean / 2) < 1e-12);
  CHECK(std::abs(up.probability[1] - (1 + mean) / 4) < 1e-12);
  CHECK(std::abs(up.probability[2] - (2 + mean) / 3) < 1e-12);
  CHECK(up.right({{0}}) == up.probability[0]);
  CHECK(up.right({{9}}) == up.probability[2]);
  CHECK(std::abs(up.right({{2}}) - (up.probability[0] + up.probability[1]) / 2) < 1e-12);
  const std::vector<double> falling{1, 1, 0, 0, 1, 0};
  const Isotonic down = fit_isotonic(examples, falling).value();
  CHECK(down.probability.front() > down.probability.back());
  CHECK_FALSE(fit_isotonic(std::vector<Example>{{{1}}, {{1}}}, std::vector<double>{0, 1}));
  CHECK_FALSE(fit_isotonic({}, {}));
}

TEST_CASE("the feature that tells most is taken, and no other steps have a smaller squared error") {
  std::mt19937_64 random(4);
  std::uniform_real_distribution<double> uniform;
  for (int trial = 0; trial < 40; ++trial) {
    std::vector<Example> examples;
    std::vector<double> targets;
    for (int i = 0; i < 60; ++i) {
      const double x = std::round(uniform(random) * 20);
      examples.push_back({{uniform(random), x}});
      targets.push_back(uniform(random) < x / 20 ? 1 : 0);
    }
    const Isotonic m = fit_isotonic(examples, targets).value();
    CHECK(m.feature == 1);
    for (std::size_t i = 1; i < m.at.size(); ++i) {
      CHECK(m.at[i - 1] < m.at[i]);
      CHECK(m.probability[i - 1] < m.probability[i] + 1e-12);
    }
  }
}

TEST_CASE("where P(right) is a cliff the fit takes the isotonic judge, its bound holds, and its file keeps it") {
  FitOptions options{.guarantee = {.kind = Guarantee::Kind::max_error, .limit = 0.10}};
  int held = 0, feasible = 0, isotonic = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const expected<FittedCascade> fitted = fit_cascade(cliff(800, seed), options);
    if (!fitted) continue;
    ++feasible;
    isotonic += fitted->impl().models.front().steps ? 1 : 0;
    const FittedCascade again = FittedCascade::from_json(fitted->to_json(), "p");
    CHECK(again.to_json() == fitted->to_json());
    held += evaluate(again, cliff(800, 100 + seed)).held ? 1 : 0;
  }
  CAPTURE(feasible, isotonic, held);
  CHECK(feasible >= 15);
  CHECK(isotonic >= feasible / 2);
  CHECK(held >= feasible - 3);
}

TEST_CASE("a policy file whose steps make no sense is refused by name") {
  Outcomes all = cliff(1500, 1);
  std::optional<FittedCascade> found;
  for (std::uint64_t seed = 1; seed <= 30 && !found; ++seed) {
    const expected<FittedCascade> fitted =
        fit_cascade(all, {.guarantee = {.kind = Guarantee::Kind::max_error, .limit = 0.10}, .seed = seed});
    if (fitted && fitted->impl().models.front().steps) found = *fitted;
  }
  REQUIRE(found);
  const auto refused = [&](const auto& change, const char* what) {
    auto rule = std::make_shared<FittedCascade::Impl>(found->impl());
    change(*rule->models.front().steps);
    const std::string text = FittedCascade(rule).to_json();
    CHECK(mentions(error_of([&] { (void)FittedCascade::from_json(text, "p"); }), what));
  };
  refused([](Isotonic& m) { m.feature = 99; }, "no feature");
  refused([](Isotonic& m) { m.at.clear(), m.probability.clear(); }, "no step");
  refused([](Isotonic& m) { m.at.front() = 1e9; }, "must rise");
  refused([](Isotonic& m) { m.probability.front() = 2; }, "between 0 and 1");
  refused([](Isotonic& m) { m.probability.pop_back(); }, "entries");
}

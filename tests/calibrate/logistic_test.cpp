// Logistic regression with many types: what it returns is the one point where the penalised likelihood stands still.
#include "calibrate/logistic.hpp"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

using namespace frugal::calibrate;

namespace {

struct Data {
  std::vector<Example> examples{};
  std::vector<double> targets{};
};

Data data(std::size_t n, std::size_t features, std::size_t types, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Data out;
  for (std::size_t i = 0; i < n; ++i) {
    Example e{{}, random() % types};
    double sum = 0.3 * static_cast<double>(e.type % 5) - 0.5;
    for (std::size_t f = 0; f < features; ++f) {
      e.features.push_back(5 + 3 * normal(random));
      sum += 0.2 * (e.features.back() - 5) * (f % 2 == 0 ? 1 : -1);
    }
    out.targets.push_back(std::uniform_real_distribution<double>()(random) < 1 / (1 + std::exp(-sum)) ? 1 : 0);
    out.examples.push_back(std::move(e));
  }
  return out;
}

}  // namespace

TEST_CASE("the gradient of the penalised likelihood is zero at the fit, for features, types and the intercept") {
  for (const auto& [features, types] : {std::pair<std::size_t, std::size_t>{4, 57}, {0, 3}, {6, 1}})
    for (const double penalty : {10.0, 160.0}) {
      const Data d = data(700, features, types, features + types);
      const Logistic m = fit_logistic(d.examples, d.targets, types, penalty);
      REQUIRE(m.weights.size() == features);
      REQUIRE(m.types.size() == types);
      double intercept = -1e-6 * m.intercept;
      std::vector<double> of_features, of_types;
      for (const double w : m.weights) of_features.push_back(-penalty / 4 * w);
      for (const double w : m.types) of_types.push_back(-penalty / 4 * w);
      for (std::size_t i = 0; i < d.examples.size(); ++i) {
        const Example& e = d.examples[i];
        const double error = d.targets[i] - m.probability(e);
        intercept += error;
        of_types[e.type] += error;
        for (std::size_t f = 0; f < features; ++f) of_features[f] += error * (e.features[f] - m.mean[f]) / m.scale[f];
      }
      CAPTURE(features, types, penalty);
      CHECK(std::abs(intercept) < 1e-6);
      for (const double g : of_features) CHECK(std::abs(g) < 1e-6);
      for (const double g : of_types) CHECK(std::abs(g) < 1e-6);
    }
}

TEST_CASE("targets between 0 and 1 and a target that never varies are fitted as well") {
  Data d = data(200, 2, 4, 9);
  for (double& t : d.targets) t = 0.25 + 0.5 * t;
  const Logistic graded = fit_logistic(d.examples, d.targets, 4, 10);
  double sum = 0, wanted = 0;
  for (std::size_t i = 0; i < 200; ++i) sum += graded.probability(d.examples[i]), wanted += d.targets[i];
  CHECK(std::abs(sum - wanted) < 1e-3);  // the intercept bears next to no penalty
  for (double& t : d.targets) t = 1;
  CHECK(fit_logistic(d.examples, d.targets, 4, 10).probability(d.examples[0]) > 0.99);
}

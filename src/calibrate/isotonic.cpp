#include "calibrate/isotonic.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace frugal::calibrate {

namespace {

// Examples that share a step.
struct Step {
  double n = 0, x = 0, y = 0;  // sums

  double level() const { return y / n; }
  void take(const Step& s) { n += s.n, x += s.x, y += s.y; }
};

// Equal values of the feature are one step from the start. `sign` 1: P(right) rises with the feature, -1: it falls.
std::vector<Step> pooled(const std::vector<std::pair<double, double>>& sorted, double sign) {
  std::vector<Step> steps;
  for (std::size_t i = 0; i < sorted.size();) {
    Step s;
    for (const double x = sorted[i].first; i < sorted.size() && sorted[i].first == x; ++i)
      s.take({1, x, sorted[i].second});
    while (!steps.empty() && sign * steps.back().level() >= sign * s.level()) {
      s.take(steps.back());
      steps.pop_back();
    }
    steps.push_back(s);
  }
  return steps;
}

double log_loss(const Isotonic& m, std::span<const Example> examples, std::span<const double> targets) {
  double sum = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const double p = std::clamp(m.right(examples[i]), 1e-9, 1 - 1e-9);
    sum -= targets[i] * std::log(p) + (1 - targets[i]) * std::log(1 - p);
  }
  return sum;
}

}  // namespace

double Isotonic::right(const Example& example) const {
  const double x = example.features[feature];
  const auto above = std::upper_bound(at.begin(), at.end(), x);
  if (above == at.begin()) return probability.front();
  if (above == at.end()) return probability.back();
  const auto i = static_cast<std::size_t>(above - at.begin());
  const double part = (x - at[i - 1]) / (at[i] - at[i - 1]);
  return probability[i - 1] + part * (probability[i] - probability[i - 1]);
}

std::optional<Isotonic> fit_isotonic(std::span<const Example> examples, std::span<const double> targets) {
  if (examples.empty()) return std::nullopt;
  const double mean = std::accumulate(targets.begin(), targets.end(), 0.0) / static_cast<double>(targets.size());
  std::optional<Isotonic> best;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t f = 0; f < examples.front().features.size(); ++f) {
    std::vector<std::pair<double, double>> sorted;
    for (std::size_t i = 0; i < examples.size(); ++i) sorted.emplace_back(examples[i].features[f], targets[i]);
    std::sort(sorted.begin(), sorted.end());
    if (sorted.front().first == sorted.back().first) continue;
    for (const double sign : {1.0, -1.0}) {
      Isotonic m{f, {}, {}};
      for (const Step& s : pooled(sorted, sign)) {
        m.at.push_back(s.x / s.n);
        double p = (s.y + mean) / (s.n + 1);  // small steps are drawn further, but never past their neighbours
        if (!m.probability.empty())
          p = sign > 0 ? std::max(p, m.probability.back()) : std::min(p, m.probability.back());
        m.probability.push_back(p);
      }
      const double loss = log_loss(m, examples, targets);
      if (loss >= least) continue;
      least = loss;
      best = std::move(m);
    }
  }
  return best;
}

}  // namespace frugal::calibrate

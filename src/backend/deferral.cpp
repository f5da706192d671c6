#include "backend/deferral.hpp"

#include <frugal/backend/verification.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace frugal::backend {
namespace {

double sum_of(std::span<const float> x) noexcept {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v);
  return sum;
}

float most_of(std::span<const float> x) noexcept { return x.empty() ? 0.0F : *std::max_element(x.begin(), x.end()); }

}  // namespace

bool stands(float p, float most, float alpha) noexcept {
  return p > 0.0F && static_cast<double>(p) >= (1.0 - static_cast<double>(alpha)) * static_cast<double>(most);
}

bool all_stand(std::span<const float> p, std::span<const float> q, float alpha) noexcept {
  const double p_mass = sum_of(p), q_mass = sum_of(q);
  if (!(p_mass > 0.0) || !(q_mass > 0.0)) return false;
  double distance = 0.0;
  for (std::size_t t = 0; t < p.size(); ++t)
    distance += std::abs(static_cast<double>(p[t]) / p_mass - static_cast<double>(q[t]) / q_mass);
  const double least = static_cast<double>(most_of(p)) / p_mass - static_cast<double>(alpha) * distance / 2;
  return static_cast<double>(most_of(q)) / q_mass >= least;
}

void defer(std::span<float> p, std::span<const float> q, const Deferral& rule) noexcept {
  if (rule.rule == DeferralRule::opt) {
    if (all_stand(p, q, rule.alpha)) std::copy(q.begin(), q.end(), p.begin());
    return;
  }
  const double p_mass = sum_of(p), q_mass = sum_of(q);
  const float p_most = most_of(p);
  if (!(p_mass > 0.0) || !(q_mass > 0.0)) return;
  double fallen = 0.0;  // of q, on tokens that do not stand: p takes their place
  for (std::size_t t = 0; t < p.size(); ++t)
    if (!stands(p[t], p_most, rule.alpha)) fallen += static_cast<double>(q[t]);
  fallen /= q_mass;
  for (std::size_t t = 0; t < p.size(); ++t) {
    const double kept = stands(p[t], p_most, rule.alpha) ? static_cast<double>(q[t]) / q_mass : 0.0;
    p[t] = static_cast<float>(kept + fallen * static_cast<double>(p[t]) / p_mass);
  }
}

Token judge_drawn(std::span<float> p, const DrawSpec& spec) {
  const auto q = spec.draft_distribution.first(p.size());
  if (defers(spec.deferral)) defer(p, q, spec.deferral);
  return verify(p, q, spec.drafted, spec.seed, spec.position);
}

}  // namespace frugal::backend

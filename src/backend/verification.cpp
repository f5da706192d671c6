#include <frugal/backend/verification.hpp>

#include <frugal/backend/sampling.hpp>

#include <algorithm>
#include <cstddef>

namespace frugal {
namespace {

double mass(std::span<const float> p) noexcept {
  double sum = 0.0;
  for (const float x : p) sum += static_cast<double>(x);
  return sum;
}

/// The token at which the running sum of `weight_of` first exceeds u of the whole; -1 where no weight is positive.
template <class Weight>
Token invert(std::size_t vocab, double u, Weight weight_of) noexcept {
  double total = 0.0;
  for (std::size_t t = 0; t < vocab; ++t) total += std::max(0.0, weight_of(t));
  Token last = -1;
  double sum = 0.0;
  for (std::size_t t = 0; t < vocab; ++t) {
    const double w = weight_of(t);
    if (!(w > 0.0)) continue;
    sum += w, last = static_cast<Token>(t);
    if (sum > u * total) break;
  }
  return last;
}

double uniform(std::uint64_t seed, std::uint32_t position, DrawPurpose purpose) noexcept {
  return counter_uniform(seed, position, static_cast<std::uint32_t>(purpose));
}

/// Both rows brought to the same mass: rows of floats sum to 1 only nearly.
struct Judge {
  std::span<const float> p, q;
  double p_mass = mass(p), q_mass = mass(q);

  double excess(std::size_t t) const noexcept {
    return static_cast<double>(p[t]) / p_mass - static_cast<double>(q[t]) / q_mass;
  }
  bool stands(std::size_t t, double u) const noexcept {
    return u * static_cast<double>(q[t]) * p_mass < static_cast<double>(p[t]) * q_mass;
  }
};

}  // namespace

Token sample(std::span<const float> weights, double u) noexcept {
  return invert(weights.size(), u, [&](std::size_t t) { return static_cast<double>(weights[t]); });
}

// A draft falls with probability 1 - sum min(p, q), which is the mass of the residual: no excess is left only where
// p = q but for rounding, and then p without the draft is as good.
Token verify(std::span<const float> p, std::span<const float> q, Token drafted, std::uint64_t seed,
             std::uint32_t position) noexcept {
  const Judge judge{p, q};
  const auto d = static_cast<std::size_t>(drafted);
  if (judge.stands(d, uniform(seed, position, DrawPurpose::accept))) return drafted;
  const double u = uniform(seed, position, DrawPurpose::residual);
  const auto residual = [&](std::size_t t) { return t == d ? 0.0 : judge.excess(t); };
  const auto others = [&](std::size_t t) { return t == d ? 0.0 : static_cast<double>(p[t]); };
  if (const Token token = invert(p.size(), u, residual); token >= 0) return token;
  const Token token = invert(p.size(), u, others);
  return token >= 0 ? token : drafted;
}

}  // namespace frugal

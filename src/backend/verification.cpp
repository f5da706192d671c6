#include <frugal/backend/verification.hpp>

#include "backend/counter.hpp"
#include "backend/row_kernels.hpp"

#include <algorithm>
#include <cstddef>

namespace frugal {
namespace {

using backend::row_block;
using backend::RowKernels;

const RowKernels& kernels() { return *backend::available_row_kernels().front(); }

/// The token at number / 2^64 of the whole; -1 where nothing weighs anything. `sum_of(first, length)` is the sum of
/// `weight_of` over a block.
template <class SumOf, class WeightOf>
Token invert(std::size_t vocab, std::uint64_t number, SumOf sum_of, WeightOf weight_of) {
  const auto block_sum = [&](std::size_t start) { return sum_of(start, std::min(row_block, vocab - start)); };
  std::uint64_t total = 0;
  for (std::size_t start = 0; start < vocab; start += row_block) total += block_sum(start);
  if (total == 0) return -1;
  std::uint64_t rest = backend::multiply_high(number, total);
  std::size_t start = 0;
  for (std::uint64_t sum = block_sum(0); rest >= sum; sum = block_sum(start)) {
    rest -= sum;
    start += row_block;
  }
  std::size_t t = start;
  for (std::uint64_t w = weight_of(t); rest >= w; w = weight_of(++t)) rest -= w;
  return static_cast<Token>(t);
}

Token invert_weights(std::span<const float> weights, std::uint64_t number, std::size_t without) {
  const auto weight_of = [&](std::size_t t) { return t == without ? 0 : backend::fixed_weight(weights[t]); };
  const auto sum_of = [&](std::size_t first, std::size_t length) {
    const std::uint64_t sum = kernels().mass(weights.data() + first, length);
    return without >= first && without - first < length ? sum - backend::fixed_weight(weights[without]) : sum;
  };
  return invert(weights.size(), number, sum_of, weight_of);
}

/// What p has more than q, brought to the same mass, without the fallen draft.
Token invert_excess(std::span<const float> p, std::span<const float> q, float ratio, std::uint64_t number,
                    std::size_t without) {
  const auto excess = [&](std::size_t t) {
    const float scaled = q[t] * ratio;
    return backend::fixed_weight(p[t] - scaled);
  };
  const auto weight_of = [&](std::size_t t) { return t == without ? 0 : excess(t); };
  const auto sum_of = [&](std::size_t first, std::size_t length) {
    const std::uint64_t sum = kernels().excess(p.data() + first, q.data() + first, length, ratio);
    return without >= first && without - first < length ? sum - excess(without) : sum;
  };
  return invert(p.size(), number, sum_of, weight_of);
}

constexpr std::size_t nobody = static_cast<std::size_t>(-1);

}  // namespace

Token sample(std::span<const float> weights, double u) noexcept {
  const auto number = static_cast<std::uint64_t>(u * 0x1p64);
  const float most = weights.empty() ? 0.0F : *std::max_element(weights.begin(), weights.end());
  if (most <= 1.0F) return invert_weights(weights, number, nobody);
  const auto sum_of = [&](std::size_t first, std::size_t length) {
    float scaled[row_block];
    for (std::size_t i = 0; i < length; ++i) scaled[i] = weights[first + i] / most;
    return kernels().mass(scaled, length);
  };
  return invert(weights.size(), number, sum_of,
                [&](std::size_t t) { return backend::fixed_weight(weights[t] / most); });
}

// A draft falls with probability 1 - sum min(p, q), which is the mass of the residual: no excess is left only where
// p = q but for rounding, and then p without the draft is as good.
Token verify(std::span<const float> p, std::span<const float> q, Token drafted, std::uint64_t seed,
             std::uint32_t position) noexcept {
  const auto d = static_cast<std::size_t>(drafted);
  const auto p_mass = static_cast<double>(kernels().mass(p.data(), p.size()));
  const auto q_mass = static_cast<double>(kernels().mass(q.data(), q.size()));
  const std::uint64_t accept = backend::counter_number(seed, position, DrawPurpose::accept);
  const double u = static_cast<double>(accept >> 11) * 0x1p-53;
  if (u * static_cast<double>(q[d]) * p_mass < static_cast<double>(p[d]) * q_mass) return drafted;
  const std::uint64_t number = backend::counter_number(seed, position, DrawPurpose::residual);
  const auto ratio = static_cast<float>(p_mass / q_mass);
  if (const Token token = invert_excess(p, q, ratio, number, d); token >= 0) return token;
  const Token token = invert_weights(p, number, d);
  return token >= 0 ? token : drafted;
}

}  // namespace frugal

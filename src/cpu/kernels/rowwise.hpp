// The kernels that work along one row: norm, quantisation, gate, storing keys and values. Written once over simd.hpp's
// sixteen lanes and compiled once per instruction set, so the order of every sum is the same in all of them. Included
// only by the per-instruction-set files.
#pragma once

#include "cpu/kernels/expand.hpp"
#include "cpu/kernels/exponential.hpp"
#include "cpu/kernels/kernels.hpp"
#include "cpu/kernels/simd.hpp"

#include <cstring>

namespace frugal::cpu {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }

inline float exp_of(float x) { return sum(exp_of(splat(x))) / 16.0F; }  // sixteen equal lanes: the mean is exact

void rms_norm(const float* x, const float* w, float* y, std::size_t n, float eps) {
  Vec parts[4] = {splat(0), splat(0), splat(0), splat(0)};
  for (std::size_t i = 0; i < n; i += 16) {
    const Vec v = load(x + i);
    parts[i / 16 % 4] = fma(v, v, parts[i / 16 % 4]);
  }
  const float squares = sum(add(add(parts[0], parts[1]), add(parts[2], parts[3])));
  const Vec scale = splat(1.0F / root(squares / static_cast<float>(n) + eps));
  for (std::size_t i = 0; i < n; i += 16) store(y + i, mul(mul(load(x + i), scale), load(w + i)));
}

void quantize(const float* x, std::size_t blocks, std::uint8_t* panel, std::size_t lane, std::size_t lanes) {
  const std::size_t stride = panel_block_bytes(lanes);
  for (std::size_t b = 0; b < blocks; ++b, x += block_inputs, panel += stride) {
    const Vec low = load(x), high = load(x + 16);
    const float most = greatest(greater(magnitude(low), magnitude(high)));
    const Vec inverse = splat(most > 0.0F ? 127.0F / most : 0.0F);
    const auto [sum_low, sum_high] = store_rounded(panel + lane * block_inputs, mul(low, inverse), mul(high, inverse));
    const float scale = most / 127.0F;
    const PanelScale s{scale, scale * static_cast<float>(sum_low + sum_high), -128 * sum_low, -128 * sum_high};
    std::memcpy(panel + lanes * block_inputs + lane * sizeof s, &s, sizeof s);
  }
}

void residual(const float* x, std::size_t blocks, const std::uint8_t* panel, std::size_t lane, std::size_t lanes,
              float* left) {
  for (std::size_t b = 0; b < blocks; ++b, panel += panel_block_bytes(lanes)) {
    PanelScale s;
    std::memcpy(&s, panel + lanes * block_inputs + lane * sizeof s, sizeof s);
    const Vec scale = splat(-s.scale);
    for (std::size_t i = 0; i < block_inputs; i += 16)
      store(left + b * block_inputs + i,
            fma(load_bytes(panel + lane * block_inputs + i), scale, load(x + b * block_inputs + i)));
  }
}

void place(const float* tile, std::size_t rows, bool sum, float* out, std::size_t stride) {
  if (sum)
    for (std::size_t r = 0; r < rows; ++r, out += stride) store(out, add(load(out), load(tile + 16 * r)));
  else
    for (std::size_t r = 0; r < rows; ++r, out += stride) store(out, load(tile + 16 * r));
}

void silu_mul(float* gate, const float* up, std::size_t n) {
  const Vec one = splat(1.0F);
  for (std::size_t i = 0; i < n; i += 16) {
    const Vec g = load(gate + i);
    const Vec sigmoid = divide(one, add(one, exp_of(sub(splat(0.0F), g))));
    store(gate + i, mul(mul(g, sigmoid), load(up + i)));
  }
}

/// As fp16, in its range: an infinity in a page would reach queries that give its position the weight 0.
inline void store_bounded_half(std::uint8_t* to, Vec x) {
  constexpr float most = 65504.0F;
  store_half(to, greater(smaller(x, splat(most)), splat(-most)));
}

/// Blocks of 32 signed bytes under one fp16 scale, which is rounded first so that the bytes make up for its rounding.
void store_head_int8(const float* x, std::size_t n, std::uint8_t* to) {
  for (std::size_t b = 0; b * 32 < n; ++b) {
    const std::size_t left = n - b * 32, count = left < 32 ? left : 32;
    float padded[32] = {};
    std::memcpy(padded, x + b * 32, count * sizeof(float));
    const Vec low = load(padded), high = load(padded + 16);
    std::uint8_t halves[32], bytes[32];
    store_bounded_half(halves, splat(greatest(greater(magnitude(low), magnitude(high))) / 127.0F));
    const float scale = half_at(halves);
    const Vec inverse = splat(scale > 0.0F ? 1.0F / scale : 0.0F), limit = splat(127.0F), floor = splat(-127.0F);
    store_bytes(bytes, greater(smaller(nearest(mul(low, inverse)), limit), floor));
    store_bytes(bytes + 16, greater(smaller(nearest(mul(high, inverse)), limit), floor));
    std::memcpy(to + b * 32, bytes, count);
    std::memcpy(to + n + 2 * b, halves, 2);
  }
}

void store_head(const float* x, std::size_t n, KvKind kind, std::uint8_t* to) {
  if (kind == KvKind::fp32) {
    std::memcpy(to, x, n * sizeof(float));
  } else if (kind == KvKind::int8) {
    store_head_int8(x, n, to);
  } else {
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) store_bounded_half(to + 2 * i, load(x + i));
    if (i == n) return;
    float padded[16] = {};
    std::uint8_t halves[32];
    std::memcpy(padded, x + i, (n - i) * sizeof(float));
    store_bounded_half(halves, load(padded));
    std::memcpy(to + 2 * i, halves, 2 * (n - i));
  }
}

}  // namespace
}  // namespace frugal::cpu

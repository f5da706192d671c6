// The loops of RowKernels over the lanes of row_lanes.hpp; included once by the file of each instruction set.
#pragma once

#include "backend/row_kernels.hpp"
#include "backend/row_lanes.hpp"

namespace frugal::backend {
namespace {

constexpr float minus_infinity = -__builtin_inff();

/// The last values of a row, fewer than 16, filled up.
struct Tail {
  float v[row_lanes];
  Tail(const float* x, std::size_t n, float fill) {
    for (std::size_t i = 0; i < row_lanes; ++i) v[i] = i < n ? x[i] : fill;
  }
};

/// Calls f(16 lanes, index of the first) over the row.
template <class F>
inline void for_lanes(const float* x, std::size_t n, float fill, F f) {
  std::size_t i = 0;
  for (; i + row_lanes <= n; i += row_lanes) f(load(x + i), i);
  if (i < n) f(load(Tail(x + i, n - i, fill).v), i);
}

Peaks peaks(const float* x, std::size_t n, float* out) {
  const Vec nothing = splat(minus_infinity);
  Vec first = nothing, second = nothing;
  for (std::size_t start = 0; start < n; start += row_block, out += row_lanes) {
    const std::size_t length = n - start < row_block ? n - start : row_block;
    Vec block = nothing;
    for_lanes(x + start, length, minus_infinity, [&](Vec v, std::size_t) {
      v = greater(v, nothing);  // NaN becomes minus infinity
      second = greater(second, smaller(first, v));
      first = greater(first, v);
      block = greater(block, v);
    });
    store(out, block);
  }
  float a[row_lanes], b[row_lanes];
  store(a, first);
  store(b, second);
  Peaks p{a[0], b[0]};
  for (std::size_t i = 1; i < row_lanes; ++i) {
    const float lower = a[i] < p.first ? a[i] : p.first;
    p.second = p.second > lower ? p.second : lower;
    p.second = p.second > b[i] ? p.second : b[i];
    p.first = p.first > a[i] ? p.first : a[i];
  }
  return p;
}

/// 2^(d * scale) as row_kernels.hpp states it. 1.5 * 2^23 rounds a small float to a whole number by being added, which
/// then stands in the low bits.
struct Weigher {
  Vec max, scale;
  explicit Weigher(WeightScale s) : max(splat(s.max)), scale(splat(s.scale)) {}
  Vec operator()(Vec x) const {
    const Vec magic = splat(12582912.0F);
    const Vec t = greater(mul(sub(x, max), scale), splat(-64.0F));
    const Vec y = add(t, magic);
    const Vec f = sub(t, sub(y, magic));
    Vec p = splat(0x1.5bba14p-10F);
    p = add(mul(p, f), splat(0x1.3cea88p-7F));
    p = add(mul(p, f), splat(0x1.c6b752p-5F));
    p = add(mul(p, f), splat(0x1.ebf9bcp-3F));
    p = add(mul(p, f), splat(0x1.62e42ap-1F));
    p = add(mul(p, f), splat(1.0F));
    return choose_equal(x, max, splat(1.0F), raise(p, y));
  }
};

std::uint64_t weigh(const float* x, std::size_t n, WeightScale scale) {
  const Weigher weigher(scale);
  FixedSum sum;
  for_lanes(x, n, __builtin_nanf(""), [&](Vec v, std::size_t) { sum.add(FixedSum::words(weigher(v))); });
  return sum.total();
}

void weigh_above(const float* x, std::size_t n, WeightScale scale, const float* limits, std::uint64_t* sums) {
  const Weigher weigher(scale);
  Vec limit[row_limits];
  for (std::size_t l = 0; l < row_limits; ++l) limit[l] = splat(limits[l]);
  FixedSum sum[row_limits + 1];
  for_lanes(x, n, __builtin_nanf(""), [&](Vec v, std::size_t) {
    const FixedSum::Words w = FixedSum::words(weigher(v));
    for (std::size_t l = 0; l < row_limits; ++l) sum[l].add_where(at_least(v, limit[l]), w);
    sum[row_limits].add(w);
  });
  for (std::size_t l = 0; l <= row_limits; ++l) sums[l] = sum[l].total();
}

std::uint64_t weigh_from(const float* x, std::size_t n, WeightScale scale, float least) {
  const Weigher weigher(scale);
  const Vec limit = splat(least);
  FixedSum sum;
  for_lanes(x, n, __builtin_nanf(""),
            [&](Vec v, std::size_t) { sum.add_where(at_least(v, limit), FixedSum::words(weigher(v))); });
  return sum.total();
}

void weights(const float* x, std::size_t n, WeightScale scale, std::uint64_t* w) {
  const Weigher weigher(scale);
  std::size_t i = 0;
  for (; i + row_lanes <= n; i += row_lanes) FixedSum::store(FixedSum::words(weigher(load(x + i))), w + i);
  if (i == n) return;
  std::uint64_t last[row_lanes];
  FixedSum::store(FixedSum::words(weigher(load(Tail(x + i, n - i, minus_infinity).v))), last);
  for (std::size_t j = 0; i + j < n; ++j) w[i + j] = last[j];
}

/// Where bits are set: the lanes and the ids that go with them, to the front; returns how many.
inline std::size_t pack(std::uint32_t bits, Vec v, std::size_t first, Token* ids, float* values) {
#if defined(__AVX512F__)
  const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i all = _mm512_add_epi32(_mm512_set1_epi32(static_cast<Token>(first)), places);
  const auto kept = static_cast<__mmask16>(bits);
  _mm512_storeu_ps(values, _mm512_maskz_compress_ps(kept, v));
  _mm512_storeu_si512(ids, _mm512_maskz_compress_epi32(kept, all));
  return static_cast<std::size_t>(__builtin_popcount(bits));
#else
  float lanes[row_lanes];
  store(lanes, v);
  std::size_t count = 0;
  for (; bits != 0; bits &= bits - 1, ++count) {
    const int lane = __builtin_ctz(bits);
    values[count] = lanes[lane];
    ids[count] = static_cast<Token>(first) + lane;
  }
  return count;
#endif
}

/// First which groups have any, without a branch; most have none, or nearly all have some, and either is hard to guess.
std::size_t gather(const float* x, std::size_t n, LogitRange range, Token* ids, float* values) {
  constexpr std::size_t groups = row_block / row_lanes;
  const Vec least = splat(range.least), below = splat(range.below), nothing = splat(minus_infinity);
  std::size_t count = 0;
  for (std::size_t start = 0; start < n; start += row_block) {
    const std::size_t length = n - start < row_block ? n - start : row_block;
    std::uint16_t bits[groups];
    std::uint16_t some[groups];
    std::size_t found = 0;
    for_lanes(x + start, length, minus_infinity, [&](Vec v, std::size_t i) {
      v = greater(v, nothing);
      const std::size_t g = i / row_lanes;
      std::uint32_t in =
          static_cast<std::uint32_t>(at_least(v, least)) & ~static_cast<std::uint32_t>(at_least(v, below));
      if (length - i < row_lanes) in &= (1U << (length - i)) - 1U;
      bits[g] = static_cast<std::uint16_t>(in);
      some[found] = static_cast<std::uint16_t>(g);
      found += in != 0 ? 1 : 0;
    });
    for (std::size_t f = 0; f < found; ++f) {
      const std::size_t at = start + some[f] * row_lanes, rest = n - at;
      const Vec v = greater(rest < row_lanes ? load(Tail(x + at, rest, minus_infinity).v) : load(x + at), nothing);
      count += pack(bits[some[f]], v, at, ids + count, values + count);
    }
  }
  return count;
}

void mask(const float* x, std::size_t n, const std::uint32_t* bits, float* out) {
  const Vec nothing = splat(minus_infinity);
  std::size_t i = 0;
  for (; i + row_lanes <= n; i += row_lanes)
    store(out + i, choose_bits(bits[i / 32] >> i % 32 & 0xFFFFU, load(x + i), nothing));
  for (; i < n; ++i) out[i] = (bits[i / 32] >> i % 32 & 1U) != 0 ? x[i] : minus_infinity;
}

std::uint64_t mass(const float* p, std::size_t n) {
  const Vec zero = splat(0.0F), one = splat(1.0F);
  FixedSum sum;
  for_lanes(p, n, 0.0F, [&](Vec v, std::size_t) { sum.add(FixedSum::words(smaller(greater(v, zero), one))); });
  return sum.total();
}

std::uint64_t excess(const float* p, const float* q, std::size_t n, float ratio) {
  const Vec zero = splat(0.0F), one = splat(1.0F), by = splat(ratio);
  FixedSum sum;
  for_lanes(p, n, 0.0F, [&](Vec v, std::size_t i) {
    const Vec other = i + row_lanes <= n ? load(q + i) : load(Tail(q + i, n - i, 0.0F).v);
    sum.add(FixedSum::words(smaller(greater(sub(v, mul(other, by)), zero), one)));
  });
  return sum.total();
}

constexpr RowKernels row_kernels_named(const char* name) {
  return {name, peaks, weigh, weigh_above, weigh_from, weights, gather, mask, mass, excess};
}

}  // namespace
}  // namespace frugal::backend

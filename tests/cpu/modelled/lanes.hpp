// What the steps of immintrin.h beside this file are made of: vectors of any width as the compiler has them on every
// machine, and one loop over their lanes for each kind of step. Nothing here is shared with the kernels' own code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace frugal::cpu {
namespace {

template <class Lane, std::size_t Bytes>
struct VectorOf {
  typedef Lane type __attribute__((vector_size(Bytes)));
};
template <class Lane, class V>
using LanesOf = typename VectorOf<Lane, sizeof(V)>::type;

template <class Lane, class V>
constexpr int lane_count = static_cast<int>(sizeof(V) / sizeof(Lane));

/// The same bits as other lanes.
template <class To, class From>
To bits_as(From v) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &v, sizeof to);
  return to;
}

template <class V>
V read_lanes(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
/// As the aligned loads and stores do: another address ends the program.
inline void need_aligned(const void* p, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0) std::abort();
}
/// Rounding to the nearest is the only mode that the model knows.
inline void need_nearest(int mode) {
  if (mode != 8) std::abort();
}

template <class V, class Lane>
V filled(Lane x) {
  LanesOf<Lane, V> v{};
  for (int i = 0; i < lane_count<Lane, V>; ++i) v[i] = x;
  return bits_as<V>(v);
}

/// Lane i = f(i).
template <class V, class Lane, class F>
V made(F f) {
  LanesOf<Lane, V> v{};
  for (int i = 0; i < lane_count<Lane, V>; ++i) v[i] = f(i);
  return bits_as<V>(v);
}

template <class V>
V fused(V a, V b, V c) {
  return made<V, float>([&](int i) { return __builtin_fmaf(a[i], b[i], c[i]); });
}

/// The nearest whole number, ties to even; what has none becomes the least one.
inline std::int32_t whole(float x) {
  const float n = __builtin_nearbyintf(x);
  return n >= -2147483648.0F && n < 2147483648.0F ? static_cast<std::int32_t>(n) : INT32_MIN;
}

inline float half_number(std::uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const std::uint32_t sign = std::uint32_t{half} >> 15 << 31;
  float x = exponent == 0 ? __builtin_ldexpf(static_cast<float>(fraction), -24)
                          : __builtin_ldexpf(static_cast<float>(1024 + fraction), exponent - 25);
  std::uint32_t word;
  if (exponent == 31)  // a signalling NaN becomes a quiet one
    word = 0x7F800000U | static_cast<std::uint32_t>(fraction) << 13 | (fraction != 0 ? 0x400000U : 0U);
  else
    std::memcpy(&word, &x, 4);
  word |= sign;
  std::memcpy(&x, &word, 4);
  return x;
}

inline std::uint16_t half_of(float x) {
  std::uint32_t word;
  std::memcpy(&word, &x, 4);
  const std::uint32_t sign = word >> 16 & 0x8000U, magnitude = word & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U | (magnitude >> 13 & 0x3FFU));
  if (magnitude >= 0x47800000U) return static_cast<std::uint16_t>(sign | 0x7C00U);
  int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent < -14) exponent = -14;
  float size;
  std::memcpy(&size, &magnitude, 4);
  const float fraction =
      __builtin_nearbyintf(__builtin_ldexpf(size, 10 - exponent));  // 1024 to 2048, less if subnormal
  return static_cast<std::uint16_t>(sign + (static_cast<std::uint32_t>(exponent + 14) << 10) +
                                    static_cast<std::uint32_t>(fraction));
}

/// The nearest bf16, ties to even; numbers below 2^-126 are zero.
inline std::uint16_t bf16_number(float x) {
  std::uint32_t word;
  std::memcpy(&word, &x, 4);
  const std::uint32_t upper = word >> 16, magnitude = word & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(upper | 0x40U);
  if (magnitude < 0x00800000U) return static_cast<std::uint16_t>(upper & 0x8000U);
  const std::uint32_t left = word & 0xFFFFU;
  const bool up = left > 0x8000U || (left == 0x8000U && upper % 2 == 1);
  return static_cast<std::uint16_t>(upper + (up ? 1U : 0U));
}

/// Whole numbers to the ends of a narrower kind.
template <class Narrow>
Narrow ended(int x) {
  constexpr int most = (1 << (8 * sizeof(Narrow) - 1)) - 1;
  return static_cast<Narrow>(x > most ? most : x < -most - 1 ? -most - 1 : x);
}

/// Each 128 bits of a and b to `Narrow` lanes: those of a, then those of b.
template <class Wide, class Narrow, class V>
V packed_ends(V a, V b) {
  const auto x = bits_as<LanesOf<Wide, V>>(a), y = bits_as<LanesOf<Wide, V>>(b);
  constexpr int part = 16 / sizeof(Wide);
  return made<V, Narrow>([&](int i) {
    const int at = i % (2 * part), from = i / (2 * part) * part + at % part;
    return ended<Narrow>(at < part ? x[from] : y[from]);
  });
}

/// Of each 128 bits of a and b the lower (High = 0) or upper (High = 1) lanes in turn.
template <class Lane, int High, class V>
V interleaved(V a, V b) {
  const auto x = bits_as<LanesOf<Lane, V>>(a), y = bits_as<LanesOf<Lane, V>>(b);
  constexpr int part = 16 / sizeof(Lane);
  return made<V, Lane>([&](int i) {
    const int from = i / part * part + High * part / 2 + i % part / 2;
    return i % 2 == 0 ? x[from] : y[from];
  });
}

/// sums + the products of 4 unsigned bytes of a with 4 signed ones of b, lane by lane: vpdpbusd.
template <class V>
V dotted(V sums, V a, V b) {
  const auto s = bits_as<LanesOf<std::uint32_t, V>>(sums);
  const auto x = bits_as<LanesOf<std::uint8_t, V>>(a);
  const auto y = bits_as<LanesOf<std::int8_t, V>>(b);
  return made<V, std::uint32_t>([&](int i) {
    int products = 0;
    for (int k = 4 * i; k < 4 * i + 4; ++k) products += x[k] * y[k];
    return s[i] + static_cast<std::uint32_t>(products);
  });
}

/// All lanes moved by `by` bits, down or (negative) up.
template <class Lane, class V>
V shifted(V v, int by) {
  const auto x = bits_as<LanesOf<Lane, V>>(v);
  constexpr int bits = 8 * static_cast<int>(sizeof(Lane));
  return made<V, Lane>([&](int i) {
    if (by >= bits || -by >= bits) return Lane{0};
    return static_cast<Lane>(by >= 0 ? std::uint64_t{x[i]} >> by : std::uint64_t{x[i]} << -by);
  });
}

template <class Lane, class V>
V added(V a, V b) {
  return bits_as<V>(bits_as<LanesOf<Lane, V>>(a) + bits_as<LanesOf<Lane, V>>(b));
}

/// Bytes [Part * sizeof(To), ...) of a wider vector.
template <class To, class From>
To part_of(From v, int part) {
  To to;
  std::memcpy(&to, reinterpret_cast<const char*>(&v) + static_cast<std::size_t>(part) * sizeof to, sizeof to);
  return to;
}

/// `low` and `high` side by side.
template <class To, class From>
To joined(From low, From high) {
  static_assert(sizeof(To) == 2 * sizeof(From));
  To to;
  std::memcpy(&to, &low, sizeof low);
  std::memcpy(reinterpret_cast<char*>(&to) + sizeof low, &high, sizeof high);
  return to;
}

}  // namespace
}  // namespace frugal::cpu

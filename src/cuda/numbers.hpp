// The element types of activations, weights, keys and values: 32-bit floats, bfloat16 and half. Kernels compute in fp32;
// what they store is rounded to the nearest value, ties to even.
#pragma once

#include "cuda/block.hpp"

#include <cstdint>

namespace frugal::cuda {

/// Which of them an untyped array holds.
enum class Element : std::uint8_t { f32, bf16, f16 };

struct Bf16 {
  std::uint16_t bits;
};
struct Half {
  std::uint16_t bits;
};

FRUGAL_DEVICE float to_float(float x) { return x; }
FRUGAL_DEVICE float to_float(Bf16 x) { return float_of(static_cast<std::uint32_t>(x.bits) << 16); }
FRUGAL_DEVICE float to_float(Half x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
#else
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000U) << 16, rest = x.bits & 0x7FFFU;
  if (rest >= 0x7C00U) return float_of(sign | 0x7F800000U | (rest & 0x3FFU) << 13);
  if (rest >= 0x0400U) return float_of(sign | ((rest << 13) + (112U << 23)));
  return float_of(sign | bits_of(static_cast<float>(rest) * 0x1p-24F));  // subnormal: a count of 2^-24
#endif
}

template <class T>
FRUGAL_DEVICE T rounded(float x);

template <>
FRUGAL_DEVICE float rounded<float>(float x) {
  return x;
}
template <>
FRUGAL_DEVICE Bf16 rounded<Bf16>(float x) {
  const std::uint32_t bits = bits_of(x);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return {0x7FC0U};
  return {static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16)};
}
template <>
FRUGAL_DEVICE Half rounded<Half>(float x) {
#if defined(__CUDA_ARCH__)
  Half y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#else
  const std::uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000U, rest = bits & 0x7FFFFFFFU;
  if (rest > 0x7F800000U) return {0x7FFFU};  // as a device has it
  if (rest >= 0x477FF000U) return {static_cast<std::uint16_t>(sign | 0x7C00U)};
  if (rest < 0x38800000U) {  // below 2^-14: adding 0.5 leaves the rounded subnormal in the low bits
    return {static_cast<std::uint16_t>(sign | (bits_of(float_of(rest) + 0.5F) - 0x3F000000U))};
  }
  return {static_cast<std::uint16_t>(sign | ((rest - (112U << 23) + 0xFFFU + (rest >> 13 & 1U)) >> 13))};
#endif
}

}  // namespace frugal::cuda

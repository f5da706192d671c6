// Stored keys and values of one token and head as fp32. Included only by the per-instruction-set files.
#pragma once

#include "cpu/kernels/kernels.hpp"
#include "cpu/kernels/simd.hpp"

#include <cstring>

namespace frugal::cpu {
namespace {

inline float half_at(const std::uint8_t* p) {
  std::uint8_t wide[32] = {p[0], p[1]};
  float lanes[16];
  store(lanes, load_half(wide));
  return lanes[0];
}

/// The last dimensions of a head that is no multiple of 16 long, and what belongs to no dimension as zeros.
inline void expand_tail(const std::uint8_t* from, KvKind kind, std::size_t done, std::size_t n, float scale,
                        float* to) {
  std::uint8_t bytes[64] = {};
  const std::size_t width = kind == KvKind::fp32 ? 4 : kind == KvKind::fp16 ? 2 : 1;
  std::memcpy(bytes, from + done * width, (n - done) * width);
  if (kind == KvKind::fp32)
    std::memcpy(to + done, bytes, 16 * sizeof(float));
  else
    store(to + done, kind == KvKind::fp16 ? load_half(bytes) : mul(load_bytes(bytes), splat(scale)));
}

/// One stored head as fp32, padded with zeros to a multiple of 16.
inline void expand_head(const std::uint8_t* from, KvKind kind, std::size_t n, float* to) {
  const std::size_t whole = n / 16 * 16;
  float scale = 1.0F;
  if (kind == KvKind::fp16) {
    for (std::size_t i = 0; i < whole; i += 16) store(to + i, load_half(from + 2 * i));
  } else if (kind == KvKind::fp32) {
    std::memcpy(to, from, whole * sizeof(float));
  } else {
    for (std::size_t i = 0; i < whole; i += 16) {
      if (i % 32 == 0) scale = half_at(from + n + i / 32 * 2);
      store(to + i, mul(load_bytes(from + i), splat(scale)));
    }
    if (whole % 32 == 0 && whole < n) scale = half_at(from + n + whole / 32 * 2);
  }
  if (whole < n) expand_tail(from, kind, whole, n, scale, to);
}

}  // namespace
}  // namespace frugal::cpu

// x += y, then RMSNorm (Zhang and Sennrich 2019) of x: one block a row.
//
// The rule, bit for bit: lane t of 256 adds up x[t]^2, x[t + 256]^2, ... in that order, product and sum rounded each;
// the lanes' sums are added in pairs, lane t and lane t + 128, then t + 64, down to 1. out = x * (1 / sqrt(sum / d +
// eps)) * gain, each step rounded.
#pragma once

#include "cuda/numbers.hpp"

#include <cstddef>
#include <cstdint>

namespace frugal::cuda {

/// Pointers are the device's. Rows lie one after the other.
struct AddNorm {
  float* x = nullptr;           ///< [rows, d] the residual stream
  const void* y = nullptr;      ///< [rows, d] in the compute type; null = nothing to add
  const float* gain = nullptr;  ///< [d]
  void* out = nullptr;          ///< [rows, d] in the compute type
  std::uint32_t rows = 0, d = 0;
  float eps = 0.0F;
};

inline constexpr std::uint32_t norm_threads = 256;

struct NormShared {
  float partial[norm_threads];
};

/// `block` has norm_threads.
template <class T>
FRUGAL_DEVICE void add_norm_row(const Block& block, const AddNorm& a, std::uint32_t row, NormShared& s) {
  const std::size_t first = static_cast<std::size_t>(row) * a.d;
  float* const x = a.x + first;
  const T* const y = a.y == nullptr ? nullptr : static_cast<const T*>(a.y) + first;
  T* const out = static_cast<T*>(a.out) + first;
  block.each([&](std::uint32_t t) {
    float sum = 0.0F;
    for (std::uint32_t i = t; i < a.d; i += norm_threads) {
      if (y != nullptr) x[i] = added(x[i], to_float(y[i]));
      sum = added(sum, multiplied(x[i], x[i]));
    }
    s.partial[t] = sum;
  });
  for (std::uint32_t step = norm_threads / 2; step > 0; step /= 2) {
    block.each([&](std::uint32_t t) {
      if (t < step) s.partial[t] = added(s.partial[t], s.partial[t + step]);
    });
  }
  block.each([&](std::uint32_t t) {
    const float scale = divided(1.0F, root(added(divided(s.partial[0], static_cast<float>(a.d)), a.eps)));
    for (std::uint32_t i = t; i < a.d; i += norm_threads)
      out[i] = rounded<T>(multiplied(multiplied(x[i], scale), a.gain[i]));
  });
}

}  // namespace frugal::cuda

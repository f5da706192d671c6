// From the product of the q|k|v projection to what attention reads: norms of the heads where there are any, RoPE (Su et
// al. 2021) on queries and keys, keys and values into their pages. One block a row.
#pragma once

#include "cuda/numbers.hpp"

#include <cstddef>
#include <cstdint>

namespace frugal::cuda {

/// Pointers are the device's.
struct RopeAppend {
  const void* qkv = nullptr;                ///< [rows, heads + 2 * kv_heads, head_dim] in the compute type
  void* q = nullptr;                        ///< [rows, heads, head_dim]: the turned queries
  void* arena = nullptr;                    ///< the whole arena, in elements of the compute type
  const std::int64_t* pages = nullptr;      ///< [rows] granule of the page
  const std::int64_t* slots = nullptr;      ///< [rows] token of the page
  const std::int64_t* positions = nullptr;  ///< [rows] row of `angles`
  const float* angles = nullptr;            ///< [positions, 2, rope_dims / 2]: cosines, then sines
  const float* gain = nullptr;  ///< [heads + kv_heads, head_dim] of the heads' RMSNorm; null = there is none
  float eps = 0.0F;
  std::uint32_t rows = 0, heads = 0, kv_heads = 0, head_dim = 0, rope_dims = 0;
  bool adjacent = false;  ///< pairs are (2i, 2i + 1), not (i, i + rope_dims / 2)
  std::uint32_t layer = 0, page_tokens = 0;
  std::uint64_t granule = 0;  ///< elements of one granule
};

inline constexpr std::uint32_t rope_threads = 256;
inline constexpr std::uint32_t rope_heads = 256;  ///< most heads + kv_heads

struct RopeShared {
  float partial[rope_threads];
  float scale[rope_heads];
};

/// Where a layer's keys (or values) of a slot begin in the arena, in elements: page [layer][K|V][token][kv head][dim].
FRUGAL_DEVICE std::uint64_t kv_offset(const RopeAppend& a, std::uint64_t page, std::uint64_t slot, bool value) {
  const std::uint64_t width = static_cast<std::uint64_t>(a.kv_heads) * a.head_dim;
  const std::uint64_t plane = static_cast<std::uint64_t>(a.layer) * 2 + (value ? 1 : 0);
  return page * a.granule + (plane * a.page_tokens + slot) * width;
}

namespace rope {

/// s.scale[h] = 1 / rms of head h: 32 lanes a head, each in steps of 32, their sums added in the order of the lanes.
template <class T>
FRUGAL_DEVICE void scales(const Block& block, const RopeAppend& a, const T* qkv, RopeShared& s) {
  const std::uint32_t all = a.heads + a.kv_heads, at_once = rope_threads / warp;
  for (std::uint32_t first = 0; first < all; first += at_once) {
    block.each([&](std::uint32_t t) {
      const std::uint32_t head = first + t / warp;
      float sum = 0.0F;
      if (head < all) {
        const T* const x = qkv + static_cast<std::size_t>(head) * a.head_dim;
        for (std::uint32_t i = t % warp; i < a.head_dim; i += warp)
          sum = added(sum, multiplied(to_float(x[i]), to_float(x[i])));
      }
      s.partial[t] = sum;
    });
    block.each([&](std::uint32_t t) {
      const std::uint32_t head = first + t;
      if (t >= at_once || head >= all) return;
      float sum = s.partial[t * warp];
      for (std::uint32_t lane = 1; lane < warp; ++lane) sum = added(sum, s.partial[t * warp + lane]);
      s.scale[head] = divided(1.0F, root(added(divided(sum, static_cast<float>(a.head_dim)), a.eps)));
    });
  }
}

}  // namespace rope

/// `block` has rope_threads. Products and sums are rounded one by one.
template <class T>
FRUGAL_DEVICE void rope_append_row(const Block& block, const RopeAppend& a, std::uint32_t row, RopeShared& s) {
  const std::uint32_t half = a.rope_dims / 2, rest = a.head_dim - a.rope_dims, turned = a.heads + a.kv_heads;
  const T* const qkv =
      static_cast<const T*>(a.qkv) + static_cast<std::size_t>(row) * (turned + a.kv_heads) * a.head_dim;
  T* const q = static_cast<T*>(a.q) + static_cast<std::size_t>(row) * a.heads * a.head_dim;
  const auto page = static_cast<std::uint64_t>(a.pages[row]), slot = static_cast<std::uint64_t>(a.slots[row]);
  T* const k = static_cast<T*>(a.arena) + kv_offset(a, page, slot, false);
  T* const v = static_cast<T*>(a.arena) + kv_offset(a, page, slot, true);
  const float* const cos = a.angles + static_cast<std::size_t>(a.positions[row]) * a.rope_dims;
  const float* const sin = cos + half;
  if (a.gain != nullptr) rope::scales(block, a, qkv, s);
  const auto value = [&](std::uint32_t head, std::uint32_t i) {
    const std::size_t at = static_cast<std::size_t>(head) * a.head_dim + i;
    const float x = to_float(qkv[at]);
    return a.gain == nullptr ? x : multiplied(multiplied(x, s.scale[head]), a.gain[at]);
  };
  const auto store = [&](std::uint32_t head, std::uint32_t i, float x) {
    T* const to = head < a.heads ? q + static_cast<std::size_t>(head) * a.head_dim
                                 : k + static_cast<std::size_t>(head - a.heads) * a.head_dim;
    to[i] = rounded<T>(x);
  };
  block.each([&](std::uint32_t t) {
    for (std::uint32_t n = t; n < turned * half; n += rope_threads) {
      const std::uint32_t head = n / half, i = n % half, x = a.adjacent ? 2 * i : i,
                          y = a.adjacent ? 2 * i + 1 : i + half;
      const float p = value(head, x), r = value(head, y);
      store(head, x, added(multiplied(p, cos[i]), -multiplied(r, sin[i])));
      store(head, y, added(multiplied(r, cos[i]), multiplied(p, sin[i])));
    }
    for (std::uint32_t n = t; n < turned * rest; n += rope_threads)
      store(n / rest, a.rope_dims + n % rest, value(n / rest, a.rope_dims + n % rest));
    for (std::uint32_t n = t; n < a.kv_heads * a.head_dim; n += rope_threads)
      v[n] = qkv[static_cast<std::size_t>(turned) * a.head_dim + n];
  });
}

}  // namespace frugal::cuda

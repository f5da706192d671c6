// Products of prompt rows in bf16: two strips at a time are opened, a part of their inputs after the other, and meet all
// rows, 32 at once.
#include "cpu/product.hpp"

#include <algorithm>
#include <cstring>

namespace frugal::cpu {
namespace {

constexpr std::uint32_t group_rows = 512;
constexpr std::uint32_t call_rows = 32;

/// One or two strips of a product, and where their sums are.
struct Pair {
  StripView strips[2];
  std::uint32_t count;
  alignas(64) float tiles[2][group_rows * strip_rows];

  void begin(const float* const (&bias)[2], std::uint32_t rows) {
    for (std::uint32_t s = 0; s < count; ++s) {
      if (bias[s] == nullptr) std::memset(tiles[s], 0, rows * strip_rows * sizeof(float));
      for (std::uint32_t r = 0; bias[s] != nullptr && r < rows; ++r)
        std::memcpy(tiles[s] + r * strip_rows, bias[s], strip_rows * sizeof(float));
    }
  }

  void multiply(const Bf16Kernels& kernels, const Bf16Rows& x, std::uint8_t* room) {
    constexpr std::size_t apart = group_rows * strip_rows;
    std::uint8_t* const second = count == 2 ? room + bf16_open_blocks * bf16_block_bytes : nullptr;
    for (std::uint32_t b = 0; b < strips[0].blocks; b += bf16_open_blocks) {
      const std::uint32_t blocks = std::min(bf16_open_blocks, strips[0].blocks - b);
      kernels.open(strips[0], b, blocks, room);
      if (second != nullptr) kernels.open(strips[1], b, blocks, second);
      for (std::uint32_t r = 0; r < x.rows; r += call_rows)
        kernels.multiply({x.data + r * x.stride + b * block_inputs, x.stride, std::min(call_rows, x.rows - r)},
                         {{room, second}, blocks, apart}, tiles[0] + r * strip_rows);
    }
  }
};

}  // namespace

void multiply_bf16(const Kernels& kernels, const Product& p, Crew::Share strips, const Bf16Rows& x,
                   std::uint8_t* room) {
  kernels.bf16->begin();
  const bool gate = p.ending == Ending::gate;
  const auto bias = [&](std::uint32_t s) { return p.bias != nullptr ? p.bias + s * strip_rows : nullptr; };
  Pair pair;
  for (std::uint32_t s = strips.first; s < strips.last; s += gate ? 1 : 2) {
    pair.count = gate || s + 1 < strips.last ? 2 : 1;
    pair.strips[0] = p.weight->strip(s);
    if (pair.count == 2) pair.strips[1] = gate ? p.partner->strip(s) : p.weight->strip(s + 1);
    for (std::uint32_t first = 0; first < x.rows; first += group_rows) {
      const Bf16Rows rows{x.data + first * x.stride, x.stride, std::min(group_rows, x.rows - first)};
      pair.begin({bias(s), gate || pair.count == 1 ? nullptr : bias(s + 1)}, (rows.rows + 15) / 16 * 16);
      pair.multiply(*kernels.bf16, rows, room);
      float* out = p.out + first * p.stride + s * strip_rows;
      if (gate) kernels.silu_mul(pair.tiles[0], pair.tiles[1], rows.rows * strip_rows);
      if (p.rounded != nullptr) {
        kernels.bf16->place(pair.tiles[0], rows.rows, p.rounded + first * p.rounded_stride + s * strip_rows,
                            p.rounded_stride);
        continue;
      }
      kernels.place(pair.tiles[0], rows.rows, p.ending == Ending::add, out, p.stride);
      if (!gate && pair.count == 2)
        kernels.place(pair.tiles[1], rows.rows, p.ending == Ending::add, out + strip_rows, p.stride);
    }
  }
  kernels.bf16->end();
}

}  // namespace frugal::cpu

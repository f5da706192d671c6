// The tile unit in software, for tests: the same operations on plain arrays, of which each thread has its own. It is as
// strict as the real one where a test can profit: using a tile before begin() or after end() stops the program.
#pragma once

#include "cpu/kernels/tile_config.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace frugal::cpu {
namespace {

/// Registers of `Count` tiles.
template <int Count>
struct ModelledUnit {
  struct Unit {
    bool configured = false;
    std::uint8_t tiles[Count][16][64];
  };
  static Unit& unit() {
    thread_local Unit u;
    return u;
  }
  static Unit& configured() {
    if (!unit().configured) std::abort();
    return unit();
  }

  static void begin() { unit().configured = true; }
  static void end() { configured().configured = false; }
};

struct ModelledTiles : ModelledUnit<4> {
  template <int Tile>
  static void load(const std::uint8_t* p, std::size_t stride) {
    constexpr TileConfig c = tile_config();
    for (std::size_t r = 0; r < c.rows[Tile]; ++r)
      std::memcpy(configured().tiles[Tile][r], p + r * stride, c.row_bytes[Tile]);
  }
  static void load_rows(const std::uint8_t* q) { load<rows_tile>(q, 32); }
  static void load_weights(const std::uint8_t* w) { load<weights_tile>(w, 64); }
  template <int Tile>
  static void start() {
    const float zero = 12582912.0F;
    for (std::size_t i = 0; i < 256; ++i) std::memcpy(&configured().tiles[Tile][i / 16][i % 16 * 4], &zero, 4);
  }
  /// tdpbssd or tdpbsud: rows are signed bytes, weights signed or not.
  template <int Sums, bool Signed>
  static void multiply() {
    constexpr TileConfig c = tile_config();
    auto& t = configured().tiles;
    for (std::size_t m = 0; m < c.rows[Sums]; ++m)
      for (std::size_t n = 0; n < 16; ++n) {
        std::int32_t sum;
        std::memcpy(&sum, &t[Sums][m][4 * n], 4);
        for (std::size_t k = 0; k < c.row_bytes[rows_tile]; ++k) {
          const std::uint8_t w = t[weights_tile][k / 4][4 * n + k % 4];
          sum += static_cast<std::int8_t>(t[rows_tile][m][k]) * (Signed ? static_cast<std::int8_t>(w) : int{w});
        }
        std::memcpy(&t[Sums][m][4 * n], &sum, 4);
      }
  }
  template <int Tile>
  static void keep(float* to) {
    std::memcpy(to, configured().tiles[Tile], sizeof configured().tiles[Tile]);
  }
};

/// Tiles of bf16: eight of 16 lines of 64 bytes.
struct ModelledBf16Tiles : ModelledUnit<8> {
  template <int Tile>
  static void load(const void* p, std::size_t stride) {
    for (std::size_t r = 0; r < 16; ++r)
      std::memcpy(configured().tiles[Tile][r], static_cast<const std::uint8_t*>(p) + r * stride, 64);
  }
  template <int Tile>
  static void clear() {
    std::memset(configured().tiles[Tile], 0, sizeof configured().tiles[Tile]);
  }
  template <int Tile>
  static void keep(float* to, std::size_t stride = 64) {
    for (std::size_t r = 0; r < 16; ++r)
      std::memcpy(reinterpret_cast<std::uint8_t*>(to) + r * stride, configured().tiles[Tile][r], 64);
  }
  /// Numbers below 2^-126 are zero, going in and coming out.
  static float flushed(float x) { return std::fabs(x) < 1.17549435e-38F ? std::copysign(0.0F, x) : x; }
  static float number(const std::uint8_t* at) {
    const std::uint32_t bits = static_cast<std::uint32_t>(at[0] | at[1] << 8U) << 16U;
    float x;
    std::memcpy(&x, &bits, 4);
    return flushed(x);
  }
  /// tdpbf16ps as its description has it: a chain of fused steps for even inputs and one for odd ones, then their sum.
  template <int Sums, int Rows, int Weights>
  static void multiply() {
    auto& t = configured().tiles;
    for (std::size_t m = 0; m < 16; ++m)
      for (std::size_t n = 0; n < 16; ++n) {
        float even = 0.0F, odd = 0.0F, sum;
        for (std::size_t k = 0; k < 16; ++k) {
          const std::uint8_t *a = &t[Rows][m][4 * k], *b = &t[Weights][k][4 * n];
          even = flushed(std::fma(number(a), number(b), even));
          odd = flushed(std::fma(number(a + 2), number(b + 2), odd));
        }
        std::memcpy(&sum, &t[Sums][m][4 * n], 4);
        sum = flushed(flushed(sum) + flushed(even + odd));
        std::memcpy(&t[Sums][m][4 * n], &sum, 4);
      }
  }
};

}  // namespace
}  // namespace frugal::cpu

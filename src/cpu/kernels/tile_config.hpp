// The tiles that tiles.hpp and bf16.hpp use, and their shapes: one configuration each for all formats and row counts.
// Fewer than 16 rows are read as if they were 16; the sums of the rows that are not there are never looked at.
#pragma once

#include <cstdint>

namespace frugal::cpu {
namespace {

/// Memory operand of ldtilecfg.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

/// Tiles 0 and 1 are sums, 2 holds rows of a panel, 3 a block of a strip.
constexpr int rows_tile = 2, weights_tile = 3;

constexpr TileConfig tile_config() {
  TileConfig c;
  c.rows[0] = c.rows[1] = 16, c.row_bytes[0] = c.row_bytes[1] = 64;
  c.rows[rows_tile] = 16, c.row_bytes[rows_tile] = 32;
  c.rows[weights_tile] = 8, c.row_bytes[weights_tile] = 64;
  return c;
}

/// Eight whole tiles.
constexpr TileConfig bf16_tile_config() {
  TileConfig c;
  for (int t = 0; t < 8; ++t) c.rows[t] = 16, c.row_bytes[t] = 64;
  return c;
}

}  // namespace
}  // namespace frugal::cpu

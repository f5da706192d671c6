// Products of 3 to 16 rows by AMX tiles (fewer than 9 only beside others): one tdpbsud multiplies 16 rows of an activation panel with one block of a
// strip's 16 outputs, 8,192 products. A block has scales of its own, so each block's 16 x 16 whole sums are stored and
// scaled in fp32, in the order of all other kernels.
//
// A block of 16 rows costs, measured on Emerald Rapids: 18 cycles to multiply and 16 to store, which do not overlap, and
// 64 floating-point steps. The tile unit shares the multiplier of port 5. While tiles are in use, only port 0 runs
// 512-bit multiplications, fused multiply-adds and conversions; additions still have both ports. So the whole sums
// become floats without a conversion: a tile starts as 1.5 x 2^23 in the bits of fp32, the sums change its last bits,
// and subtracting 1.5 x 2^23 is exact. That makes 70 cycles a block, where vpdpbusd takes 135. The scaling is the limit:
// with a scale for every 32 inputs no order of steps comes near the tile unit's peak.
//
// `Tiles` is the unit: the real one (amx.cpp), or the software model of the tests, which runs on any machine. Included
// only by the files of single instruction sets and by the tests.
#pragma once

#include "cpu/kernels/vnni.hpp"

#include <utility>

namespace frugal::cpu {
namespace {

constexpr float tile_zero = 12582912.0F;  // 1.5 x 2^23: whole numbers up to 2^22 either way keep their bits
constexpr std::size_t tile_words = 16 * 16;

/// A block opened: 4 inputs of each row together as the tiles want them, a byte each, then 16 d and 16 m as fp32.
constexpr std::size_t open_step = wide_block_bytes;

/// 8-bit weights become signed, so that no offset is left to cancel.
template <Format F>
void open_strip(const StripView& strip, std::uint32_t first, std::uint32_t count, std::uint8_t* room) {
  constexpr FormatShape shape = format_shape(F);
  const std::uint8_t* quants = strip.quants + first * shape.quant_bytes;
  const std::uint16_t* scales = strip.scales + first * shape.scale_halves();
  const Words flip = splat_word(static_cast<std::int32_t>(0x80808080));
  for (std::uint32_t b = 0; b < count; ++b, room += open_step) {
    const UnpackedBlock block = unpack<F>(quants);
    const BlockScales<F> w(scales);
    FRUGAL_UNROLL(8)
    for (int j = 0; j < 8; ++j) store_words(room + 64 * j, is_offset(F) ? differ(block.w[j], flip) : block.w[j]);
    store(reinterpret_cast<float*>(room + 512), w.d[0]), store(reinterpret_cast<float*>(room + 576), w.m[0]);
    quants += shape.quant_bytes;
    scales += shape.scale_halves();
  }
}

/// Asks the memory for `Bytes` bytes; the end of them.
template <std::size_t Bytes>
FRUGAL_HOT const std::uint8_t* ask_for(const std::uint8_t* at) {
  for (std::size_t line = 0; line < Bytes; line += 64) __builtin_prefetch(at + line);
  return at + Bytes;
}

/// Sums tile `Tile` = the products of an opened block with the rows at q.
template <class Tiles, bool Signed, int Tile>
FRUGAL_HOT void multiply_tile(const std::uint8_t* block, const std::uint8_t* q) {
  Tiles::load_rows(q);
  Tiles::load_weights(block);
  Tiles::template start<Tile>();
  Tiles::template multiply<Tile, Signed>();
}

/// total plus one row's sums over a block.
template <bool Minimum>
FRUGAL_HOT Vec add_sums(Vec total, const float* sums, const float* scales, const PanelScale& s) {
  total = fma(sub(load(sums), splat(tile_zero)), mul(load(scales), splat(s.scale)), total);
  return Minimum ? fma(load(scales + 16), splat(s.sum), total) : total;
}

/// Lanes totals in registers. Written out by pack expansion: gcc 12 leaves an array that a loop walks in memory.
template <bool Minimum, class Index>
struct Totals;
template <bool Minimum, std::size_t... L>
struct Totals<Minimum, std::index_sequence<L...>> {
  Vec t[sizeof...(L)];

  FRUGAL_HOT void begin(const float* tile) { ((t[L] = load(tile + 16 * L)), ...); }
  FRUGAL_HOT void end(float* tile) const { (store(tile + 16 * L, t[L]), ...); }
  FRUGAL_HOT void add(const float* sums, const std::uint8_t* block, const std::uint8_t* panel) {
    const auto* scales = reinterpret_cast<const float*>(block + 512);
    const auto* s = reinterpret_cast<const PanelScale*>(panel + block_inputs * sizeof...(L));
    ((t[L] = add_sums<Minimum>(t[L], sums + 16 * L, scales, s[L])), ...);
  }
};

/// tile [Lanes, 16] += panel x the opened blocks, two at a time. While block b is multiplied, the sums of b - 1 are
/// stored and those of b - 2 scaled.
template <class Tiles, Format F, int Lanes>
void multiply_opened(const OpenPart& part, const std::uint8_t* panel, float* tile) {
  constexpr std::size_t step = panel_block_bytes(Lanes);
  constexpr FormatShape shape = format_shape(F);
  constexpr bool is_signed = is_offset(F);
  alignas(64) float even[tile_words], odd[tile_words];
  Totals<shape.minimum, std::make_index_sequence<Lanes>> totals;
  totals.begin(tile);
  const std::uint8_t* room = part.room;
  const std::uint8_t *quants = part.next_quants, *scales = part.next_scales;
  const std::uint32_t blocks = part.blocks;
  multiply_tile<Tiles, is_signed, 0>(room, panel);
  if (blocks > 1) multiply_tile<Tiles, is_signed, 1>(room + open_step, panel + step);
  Tiles::template keep<0>(even);
  std::uint32_t b = 0;
  for (; b + 3 < blocks; b += 2, room += 2 * open_step, panel += 2 * step) {
    multiply_tile<Tiles, is_signed, 0>(room + 2 * open_step, panel + 2 * step);
    Tiles::template keep<1>(odd);
    totals.add(even, room, panel);
    quants = ask_for<2 * shape.quant_bytes>(quants), scales = ask_for<4 * shape.scale_halves()>(scales);
    multiply_tile<Tiles, is_signed, 1>(room + 3 * open_step, panel + 3 * step);
    Tiles::template keep<0>(even);
    totals.add(odd, room + open_step, panel + step);
  }
  for (; b < blocks; b += 2, room += 2 * open_step, panel += 2 * step) {  // 1 to 3 blocks
    quants = ask_for<2 * shape.quant_bytes>(quants), scales = ask_for<4 * shape.scale_halves()>(scales);
    if (b + 2 < blocks) multiply_tile<Tiles, is_signed, 0>(room + 2 * open_step, panel + 2 * step);
    if (b + 1 < blocks) Tiles::template keep<1>(odd);
    totals.add(even, room, panel);
    if (b + 2 < blocks) Tiles::template keep<0>(even);
    if (b + 1 < blocks) totals.add(odd, room + open_step, panel + step);
  }
  totals.end(tile);
}

template <class Tiles, Format F>
void multiply_opened_format(const OpenPart& part, const std::uint8_t* panel, std::size_t lanes, float* tile) {
  switch (lanes) {
    case 3:
      return multiply_opened<Tiles, F, 3>(part, panel, tile);
    case 4:
      return multiply_opened<Tiles, F, 4>(part, panel, tile);
    case 5:
      return multiply_opened<Tiles, F, 5>(part, panel, tile);
    case 6:
      return multiply_opened<Tiles, F, 6>(part, panel, tile);
    case 7:
      return multiply_opened<Tiles, F, 7>(part, panel, tile);
    case 8:
      return multiply_opened<Tiles, F, 8>(part, panel, tile);
    case 9:
      return multiply_opened<Tiles, F, 9>(part, panel, tile);
    case 10:
      return multiply_opened<Tiles, F, 10>(part, panel, tile);
    case 11:
      return multiply_opened<Tiles, F, 11>(part, panel, tile);
    case 12:
      return multiply_opened<Tiles, F, 12>(part, panel, tile);
    case 13:
      return multiply_opened<Tiles, F, 13>(part, panel, tile);
    case 14:
      return multiply_opened<Tiles, F, 14>(part, panel, tile);
    case 15:
      return multiply_opened<Tiles, F, 15>(part, panel, tile);
    default:
      return multiply_opened<Tiles, F, 16>(part, panel, tile);
  }
}

/// The unit as product.cpp sees it.
template <class Tiles>
struct Wide {
  static void open(const StripView& strip, std::uint32_t first, std::uint32_t count, std::uint8_t* room) {
    switch (strip.format) {
      case Format::q4:
        return open_strip<Format::q4>(strip, first, count, room);
      case Format::q5:
        return open_strip<Format::q5>(strip, first, count, room);
      default:
        return open_strip<Format::q8>(strip, first, count, room);
    }
  }
  static void multiply(const OpenPart& part, const std::uint8_t* panel, std::size_t lanes, float* tile) {
    switch (part.format) {
      case Format::q4:
        return multiply_opened_format<Tiles, Format::q4>(part, panel, lanes, tile);
      case Format::q5:
        return multiply_opened_format<Tiles, Format::q5>(part, panel, lanes, tile);
      default:
        return multiply_opened_format<Tiles, Format::q8>(part, panel, lanes, tile);
    }
  }
  static constexpr WideKernels table{Tiles::begin, Tiles::end, open, multiply};
};

}  // namespace
}  // namespace frugal::cpu

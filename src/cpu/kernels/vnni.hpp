// Products of 1 to 8 rows by vpdpbusd, or sdot: a lane of Words holds 4 inputs of each of a strip's 16 rows and meets a
// broadcast 4-byte piece of an activation. A block is unpacked once for all rows and stays in registers; so do the
// totals. For each row a block costs 8 vpdpbusd and 3 or 4 floating-point steps. Included only by the
// per-instruction-set files and by the tests, which run it over the software model of words.hpp.
#pragma once

#include "cpu/kernels/kernels.hpp"
#include "cpu/kernels/words.hpp"

namespace frugal::cpu {
namespace {

struct UnpackedBlock {
  Words w[8];  ///< 4 inputs each; unsigned, 8-bit ones with 128 added, but where products are signed
};

template <Format F>
FRUGAL_HOT UnpackedBlock unpack(const std::uint8_t* quants) {
  UnpackedBlock block;
  if constexpr (is_offset(F)) {
    FRUGAL_UNROLL(8)
    for (int j = 0; j < 8; ++j) {
      block.w[j] = words_at(quants + 64 * j);
      if constexpr (signed_products) block.w[j] = differ(block.w[j], splat_word(-0x7F7F7F80));  // 0x80808080
    }
    return block;
  }
  FRUGAL_UNROLL(4)
  for (int j = 0; j < 4; ++j) {
    const Words both = words_at(quants + 64 * j);
    block.w[j] = moved<0>(both, 15), block.w[j + 4] = moved<4>(both, 15);
  }
  if constexpr (F == Format::q5) {
    const Words bits = words_at(quants + 256);
    block.w[0] = either(block.w[0], moved<-4>(bits, 16)), block.w[1] = either(block.w[1], moved<-3>(bits, 16));
    block.w[2] = either(block.w[2], moved<-2>(bits, 16)), block.w[3] = either(block.w[3], moved<-1>(bits, 16));
    block.w[4] = either(block.w[4], moved<0>(bits, 16)), block.w[5] = either(block.w[5], moved<1>(bits, 16));
    block.w[6] = either(block.w[6], moved<2>(bits, 16)), block.w[7] = either(block.w[7], moved<3>(bits, 16));
  }
  return block;
}

/// d, and m where the format has one, of a block's parts: 16 rows each.
template <Format F>
struct BlockScales {
  static constexpr std::size_t parts = format_shape(F).subs;
  Vec d[parts], m[parts];

  FRUGAL_HOT explicit BlockScales(const std::uint16_t* scales) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(scales);
    for (std::size_t p = 0; p < parts; ++p) {
      d[p] = load_half(at + 32 * p);
      m[p] = format_shape(F).minimum ? load_half(at + 32 * (parts + p)) : d[p];
    }
  }
};

/// sums[l] plus 16 inputs from w[First] on, of several rows in turn: their chains of additions overlap.
template <int First, int Lanes>
FRUGAL_HOT void dot_half(Words (&sums)[Lanes], const UnpackedBlock& block, const std::uint8_t* q) {
  FRUGAL_UNROLL(4)
  for (int j = First; j < First + 4; ++j) FRUGAL_UNROLL(4)
  for (int l = 0; l < Lanes; ++l) sums[l] = add_products(sums[l], block.w[j], q + 32 * l + 4 * j);
}

/// total plus one row's sums over a block, or its halves: the order of steps that every path keeps.
template <Format F>
FRUGAL_HOT Vec add_scaled(Vec total, const Words& low, const Words& high, const BlockScales<F>& w,
                          const PanelScale& s) {
  const Vec scale = splat(s.scale);
  total = fma(floats_of(low), mul(w.d[0], scale), total);
  if constexpr (BlockScales<F>::parts == 1) return format_shape(F).minimum ? fma(w.m[0], splat(s.sum), total) : total;
  total = fma(floats_of(high), mul(w.d[BlockScales<F>::parts - 1], scale), total);
  if constexpr (format_shape(F).minimum) {
    total = fma(w.m[0], splat(static_cast<float>(s.offset_low) * (s.scale * -0.0078125F)), total);
    total =
        fma(w.m[BlockScales<F>::parts - 1], splat(static_cast<float>(s.offset_high) * (s.scale * -0.0078125F)), total);
  }
  return total;
}

/// Adds a block's products with rows [0, Lanes) of a panel, whose numbers lie at q and whose scales lie at s.
template <Format F, int Lanes>
FRUGAL_HOT void add_block(Vec* totals, const UnpackedBlock& block, const BlockScales<F>& w, const std::uint8_t* q,
                          const PanelScale* s) {
  constexpr bool offset = is_offset(F), whole = BlockScales<F>::parts == 1, correct = offset && !signed_products;
  Words low[Lanes], high[Lanes];
  FRUGAL_UNROLL(4)
  for (int l = 0; l < Lanes; ++l) {
    low[l] = splat_word(correct ? s[l].offset_low : 0);
    high[l] = splat_word(correct ? s[l].offset_high : 0);
  }
  dot_half<0>(low, block, q);
  if constexpr (whole && !offset)
    dot_half<4>(low, block, q);
  else
    dot_half<4>(high, block, q);
  FRUGAL_UNROLL(4)
  for (int l = 0; l < Lanes; ++l)
    totals[l] = add_scaled<F>(totals[l], whole && offset ? add_words(low[l], high[l]) : low[l], high[l], w, s[l]);
}

/// Asks the memory for what is read some strips later, as the AVX2 kernels do.
constexpr std::size_t bytes_ahead = 8192;
template <std::size_t Bytes>
FRUGAL_HOT void ask_ahead(const void* at) {
  const auto* next = static_cast<const std::uint8_t*>(at) + bytes_ahead;
  for (std::size_t line = 0; line < Bytes; line += 64) __builtin_prefetch(next + line);
}

/// Up to 8 rows of a panel, which may have more.
struct PanelAt {
  const std::uint8_t* q;
  const PanelScale* scales;
  std::size_t step;  ///< bytes from block to block
};

template <Format F, int Lanes>
void multiply_lanes(const StripView& strip, PanelAt panel, const float* bias, float* tile, std::uint8_t*) {
  constexpr FormatShape shape = format_shape(F);
  const std::uint8_t* quants = strip.quants;
  const std::uint16_t* scales = strip.scales;
  Vec total[Lanes];
  FRUGAL_UNROLL(8)
  for (int l = 0; l < Lanes; ++l) total[l] = bias != nullptr ? load(bias) : splat(0.0F);
  for (std::uint32_t b = 0; b < strip.blocks; ++b) {
    ask_ahead<shape.quant_bytes>(quants), ask_ahead<2 * shape.scale_halves()>(scales);
    const UnpackedBlock block = unpack<F>(quants);
    const BlockScales<F> w(scales);
    const PanelScale* s = panel.scales;
    constexpr int early = Lanes > 4 ? (Lanes + 1) / 2 : Lanes, late = Lanes - early;
    add_block<F, early>(total, block, w, panel.q, s);
    if constexpr (late != 0) add_block<F, late>(total + early, block, w, panel.q + block_inputs * early, s + early);
    quants += shape.quant_bytes;
    scales += shape.scale_halves();
    panel.q += panel.step;
    panel.scales = reinterpret_cast<const PanelScale*>(reinterpret_cast<const std::uint8_t*>(s) + panel.step);
  }
  FRUGAL_UNROLL(8)
  for (int l = 0; l < Lanes; ++l) store(tile + 16 * l, total[l]);
}

}  // namespace
}  // namespace frugal::cpu

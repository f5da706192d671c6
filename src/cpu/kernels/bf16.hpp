// Products of prompt rows in bf16: inputs and weights rounded to 8 significant bits, sums in fp32 by the tile unit. A
// product of 16 rows, 16 outputs and 32 inputs is one tdpbf16ps, and nothing is scaled on the way, since the scale of a
// block is in its opened weights. So the tile unit is the limit, not the scaling (see tiles.hpp).
//
// A row's sums do not depend on the rows beside it: 32 inputs are two chains of 16 fused multiply-adds each, for even
// and for odd inputs; their sum is added to the total; then the next 32 inputs. Numbers below 2^-126 count as zero.
//
// `Tiles` is the unit: the real one (amx_bf16.cpp), or the software model of the tests. Included by these two only.
#pragma once

#include "cpu/kernels/floats.hpp"
#include "cpu/kernels/vnni.hpp"

namespace frugal::cpu {
namespace {

#if defined(__AVX512BF16__)

/// Byte `Byte` of every lane as a number.
template <int Byte>
FRUGAL_HOT Vec byte_floats(Words w) {
  if constexpr (Byte < 3) w = _mm512_and_si512(_mm512_srli_epi32(w, 8 * Byte), _mm512_set1_epi32(255));
  if constexpr (Byte == 3) w = _mm512_srli_epi32(w, 24);
  return _mm512_cvtepi32_ps(w);
}
/// The four bits from `Bit` on of every lane as a number: a table's index is the lowest four bits of a lane.
template <int Bit>
FRUGAL_HOT Vec nibble_floats(Words w) {
  const __m512 numbers = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_permutexvar_ps(_mm512_srli_epi32(w, Bit), numbers);
}
/// 32 numbers rounded to bf16, `low` first.
FRUGAL_HOT Words rounded(Vec low, Vec high) { return reinterpret_cast<Words>(_mm512_cvtne2ps_pbh(high, low)); }
FRUGAL_HOT void store_rounded(std::uint16_t* to, Vec x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
}
/// The same in pairs: even[0], odd[0], even[1], ...
FRUGAL_HOT Words rounded_pairs(Vec even, Vec odd) {
  alignas(64) static constexpr std::uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                          8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(order), rounded(even, odd));
}

#else

inline std::uint16_t bf16_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if ((bits & 0x7F800000U) == 0) return static_cast<std::uint16_t>(bits >> 16U & 0x8000U);
  if (x != x) return static_cast<std::uint16_t>(bits >> 16U | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U);
}
template <int Byte>
Vec byte_floats(const Words& w) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = w.bytes[4 * i + Byte];
  return load(lanes);
}
template <int Bit>
Vec nibble_floats(const Words& w) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<float>(lane_of(w, i) >> Bit & 15);
  return load(lanes);
}
inline Words rounded(const Vec& low, const Vec& high) {
  float lanes[32];
  store(lanes, low), store(lanes + 16, high);
  Words w;
  for (int i = 0; i < 32; ++i) {
    const std::uint16_t half = bf16_of(lanes[i]);
    std::memcpy(w.bytes + 2 * i, &half, 2);
  }
  return w;
}
inline void store_rounded(std::uint16_t* to, const Vec& x) { std::memcpy(to, rounded(x, x).bytes, 32); }
inline Words rounded_pairs(const Vec& even, const Vec& odd) {
  float a[16], b[16], both[32];
  store(a, even), store(b, odd);
  for (int i = 0; i < 16; ++i) both[2 * i] = a[i], both[2 * i + 1] = b[i];
  return rounded(load(both), load(both + 16));
}

#endif

/// n (a multiple of 32) numbers of a row.
inline void round_row(const float* x, std::size_t n, std::uint16_t* to) {
  for (std::size_t i = 0; i < n; i += 32) store_words(to + i, rounded(load(x + i), load(x + i + 16)));
}

/// A tile [rows, 16] to rows of `to`, rounded.
inline void place_rounded(const float* tile, std::size_t rows, std::uint16_t* to, std::size_t stride) {
  for (std::size_t r = 0; r < rows; ++r, to += stride) store_rounded(to, load(tile + 16 * r));
}

/// The 4 inputs of each row in w, two lines of pairs.
FRUGAL_HOT void open_words(Words w, Vec d, Vec m, std::uint8_t* to) {
  store_words(to, rounded_pairs(fma(byte_floats<0>(w), d, m), fma(byte_floats<1>(w), d, m)));
  store_words(to + 64, rounded_pairs(fma(byte_floats<2>(w), d, m), fma(byte_floats<3>(w), d, m)));
}

/// The same of the low (Bit = 0) or high (Bit = 4) halves of the bytes.
template <int Bit>
FRUGAL_HOT void open_halves(Words w, Vec d, Vec m, std::uint8_t* to) {
  store_words(to, rounded_pairs(fma(nibble_floats<Bit>(w), d, m), fma(nibble_floats<Bit + 8>(w), d, m)));
  store_words(to + 64, rounded_pairs(fma(nibble_floats<Bit + 16>(w), d, m), fma(nibble_floats<Bit + 24>(w), d, m)));
}

/// Blocks [first, first + count) of a strip as weights d q + m in the order of a tile: line i of 16 has inputs 2i and
/// 2i + 1 of each of the 16 rows.
template <Format F>
void open_strip_bf16(const StripView& strip, std::uint32_t first, std::uint32_t count, std::uint8_t* room) {
  constexpr FormatShape shape = format_shape(F);
  const std::uint8_t* quants = strip.quants + first * shape.quant_bytes;
  const std::uint16_t* scales = strip.scales + first * shape.scale_halves();
  for (std::uint32_t b = 0; b < count; ++b, room += bf16_block_bytes) {
    const BlockScales<F> w(scales);
    if constexpr (F == Format::q4 || F == Format::q4_half) {
      FRUGAL_UNROLL(4)
      for (int j = 0; j < 4; ++j) {
        const Words both = words_at(quants + 64 * j);
        open_halves<0>(both, w.d[0], w.m[0], room + 128 * j);
        open_halves<4>(both, w.d[shape.subs - 1], w.m[shape.subs - 1], room + 128 * (j + 4));
      }
    } else {
      const UnpackedBlock block = unpack<F>(quants);
      FRUGAL_UNROLL(8)
      for (int j = 0; j < 8; ++j) {
        const std::size_t part = j < 4 ? 0 : shape.subs - 1;
        open_words(block.w[j], w.d[part], is_offset(F) ? mul(w.d[part], splat(-128.0F)) : w.m[part], room + 128 * j);
      }
    }
    quants += shape.quant_bytes;
    scales += shape.scale_halves();
  }
}

/// The same of weights that are floats: rounded, without a scale.
template <Format F>
void open_floats_bf16(const StripView& strip, std::uint32_t first, std::uint32_t count, std::uint8_t* room) {
  const std::uint8_t* w = strip.quants + first * format_shape(F).quant_bytes;
  for (std::uint32_t line = 0; line < 16 * count; ++line, room += 64, w += 2 * input_bytes<F>)
    store_words(room, rounded_pairs(weights_of<F>(w), weights_of<F>(w + input_bytes<F>)));
}

/// tiles [Strips][16 RowTiles, 16] += x times the opened blocks of each strip. Tiles 0 to 3 are sums, 4 and 5 rows, 6
/// and 7 weights: four products of four loads.
template <class Tiles, int RowTiles, int Strips>
void multiply_bf16(const Bf16Rows& x, const Bf16Strips& w, float* tiles) {
  constexpr std::size_t words = 16 * 16;
  const std::size_t bytes = x.stride * sizeof(std::uint16_t);
  const auto* rows = reinterpret_cast<const std::uint8_t*>(x.data);
  float* second = tiles + w.apart;
  Tiles::template load<0>(tiles, 64);
  if constexpr (Strips == 2) Tiles::template load<1>(second, 64);
  if constexpr (RowTiles == 2) Tiles::template load<2>(tiles + words, 64);
  if constexpr (RowTiles == 2 && Strips == 2) Tiles::template load<3>(second + words, 64);
  for (std::uint32_t b = 0; b < w.blocks; ++b) {
    Tiles::template load<4>(rows + 64 * b, bytes);
    Tiles::template load<6>(w.opened[0] + bf16_block_bytes * b, 64);
    Tiles::template multiply<0, 4, 6>();
    if constexpr (Strips == 2) {
      Tiles::template load<7>(w.opened[1] + bf16_block_bytes * b, 64);
      Tiles::template multiply<1, 4, 7>();
    }
    if constexpr (RowTiles == 2) {
      Tiles::template load<5>(rows + 16 * bytes + 64 * b, bytes);
      Tiles::template multiply<2, 5, 6>();
      if constexpr (Strips == 2) Tiles::template multiply<3, 5, 7>();
    }
  }
  Tiles::template keep<0>(tiles);
  if constexpr (Strips == 2) Tiles::template keep<1>(second);
  if constexpr (RowTiles == 2) Tiles::template keep<2>(tiles + words);
  if constexpr (RowTiles == 2 && Strips == 2) Tiles::template keep<3>(second + words);
}

inline void open_bf16(const StripView& strip, std::uint32_t first, std::uint32_t count, std::uint8_t* room) {
  switch (strip.format) {
    case Format::q4:
      return open_strip_bf16<Format::q4>(strip, first, count, room);
    case Format::q4_half:
      return open_strip_bf16<Format::q4_half>(strip, first, count, room);
    case Format::q5:
      return open_strip_bf16<Format::q5>(strip, first, count, room);
    case Format::q8:
      return open_strip_bf16<Format::q8>(strip, first, count, room);
    case Format::f16:
      return open_floats_bf16<Format::f16>(strip, first, count, room);
    case Format::bf16:
      return open_floats_bf16<Format::bf16>(strip, first, count, room);
    case Format::f32:
      return open_floats_bf16<Format::f32>(strip, first, count, room);
    default:
      return open_strip_bf16<Format::q8_half>(strip, first, count, room);
  }
}

template <class Tiles>
void multiply_bf16(const Bf16Rows& x, const Bf16Strips& w, float* tiles) {
  const bool both = w.opened[1] != nullptr;
  if (x.rows > 16) return both ? multiply_bf16<Tiles, 2, 2>(x, w, tiles) : multiply_bf16<Tiles, 2, 1>(x, w, tiles);
  return both ? multiply_bf16<Tiles, 1, 2>(x, w, tiles) : multiply_bf16<Tiles, 1, 1>(x, w, tiles);
}

}  // namespace
}  // namespace frugal::cpu

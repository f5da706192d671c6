// Kernels in plain C++: the scalar twin the vector paths are tested against, and the path of last resort. Needs a fused
// multiply-add in the C library; several times slower than the others.
#include "cpu/kernels/attend.hpp"
#include "cpu/kernels/floats.hpp"

#include <cmath>

namespace frugal::cpu {
namespace {

template <Format F>
int weight_at(const std::uint8_t* quants, std::size_t row, std::size_t input) {
  if constexpr (is_offset(F)) return quants[input / 4 * 64 + row * 4 + input % 4] - 128;
  const std::uint8_t both = quants[input % 16 / 4 * 64 + row * 4 + input % 4];
  const int nibble = input < 16 ? both & 15 : both >> 4;
  if constexpr (F == Format::q5) return nibble | (quants[256 + row * 4 + input % 4] >> input / 4 & 1) << 4;
  return nibble;
}

/// Sum over inputs [first, first + 16) of row r's weights times q, exact.
template <Format F>
std::int32_t dot_half(const std::uint8_t* quants, std::size_t row, std::size_t first, const std::uint8_t* q) {
  std::int32_t total = 0;
  for (std::size_t i = first; i < first + 16; ++i)
    total += weight_at<F>(quants, row, i) * static_cast<std::int8_t>(q[i]);
  return total;
}

inline float scale_at(const std::uint16_t* p) { return model::half_to_float(*p); }

template <Format F>
float add_block(float total, const std::uint8_t* quants, std::size_t row, const std::uint16_t* scales,
                const std::uint8_t* q, const PanelScale& s) {
  constexpr FormatShape shape = format_shape(F);
  const std::int32_t low = dot_half<F>(quants, row, 0, q), high = dot_half<F>(quants, row, 16, q);
  if constexpr (shape.subs == 1) {
    total = std::fma(static_cast<float>(low + high), scale_at(scales) * s.scale, total);
    if constexpr (shape.minimum) total = std::fma(scale_at(scales + 16), s.sum, total);
  } else {
    total = std::fma(static_cast<float>(low), scale_at(scales) * s.scale, total);
    total = std::fma(static_cast<float>(high), scale_at(scales + 16) * s.scale, total);
    if constexpr (shape.minimum) {
      total = std::fma(scale_at(scales + 32), static_cast<float>(s.offset_low) * (s.scale * -0.0078125F), total);
      total = std::fma(scale_at(scales + 48), static_cast<float>(s.offset_high) * (s.scale * -0.0078125F), total);
    }
  }
  return total;
}

template <Format F>
void multiply_any(const StripView& strip, const std::uint8_t* panel, std::size_t lanes, const float* bias,
                  float* tile) {
  constexpr FormatShape shape = format_shape(F);
  for (std::size_t l = 0; l < lanes; ++l) {
    for (std::size_t row = 0; row < strip_rows; ++row) {
      float total = bias != nullptr ? bias[row] : 0.0F;
      for (std::size_t b = 0; b < strip.blocks; ++b) {
        const std::uint8_t* at = panel + b * panel_block_bytes(lanes);
        PanelScale s;
        std::memcpy(&s, at + 32 * lanes + sizeof s * l, sizeof s);
        total = add_block<F>(total, strip.quants + b * shape.quant_bytes, row,
                             strip.scales + b * shape.scale_halves() + row, at + 32 * l, s);
      }
      tile[l * strip_rows + row] = total;
    }
  }
}

void multiply(const StripView& strip, const std::uint8_t* panel, std::size_t lanes, const float* bias, float* tile,
              std::uint8_t*) {
  switch (strip.format) {
    case Format::q4:
      return multiply_any<Format::q4>(strip, panel, lanes, bias, tile);
    case Format::q4_half:
      return multiply_any<Format::q4_half>(strip, panel, lanes, bias, tile);
    case Format::q8:
      return multiply_any<Format::q8>(strip, panel, lanes, bias, tile);
    case Format::q5:
      return multiply_any<Format::q5>(strip, panel, lanes, bias, tile);
    default:
      return multiply_any<Format::q8_half>(strip, panel, lanes, bias, tile);
  }
}

}  // namespace

const Kernels& portable_kernels() {
  static constexpr Kernels table{"portable", false,    rms_norm, quantize,   residual,       multiply,
                                 place,      silu_mul, attend,   store_head, multiply_floats};
  return table;
}

}  // namespace frugal::cpu

#include "cpu/unpack.hpp"

#include "model/half.hpp"
#include "model/iq4.hpp"
#include "model/iq_runs.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace frugal::cpu {
namespace {

using Bytes = const std::uint8_t*;

float half_at(Bytes p) { return model::half_to_float(static_cast<std::uint16_t>(p[0] | p[1] << 8)); }

void set_scales(Unpacked& out, float scale, float minimum) {
  out.scale[0] = out.scale[1] = scale;
  out.minimum[0] = out.minimum[1] = minimum;
}

void nibbles(Bytes from, Unpacked& out) {
  for (std::size_t i = 0; i < 16; ++i) {
    out.q[i] = from[i] & 15;
    out.q[i + 16] = from[i] >> 4;
  }
}

/// The fifth bits: bit i of a little-endian word belongs to value i.
void add_fifth_bits(Bytes from, Unpacked& out) {
  const std::uint32_t bits = from[0] | from[1] << 8 | from[2] << 16 | static_cast<std::uint32_t>(from[3]) << 24;
  for (std::size_t i = 0; i < 32; ++i) out.q[i] = static_cast<std::uint8_t>(out.q[i] + ((bits >> i & 1U) << 4U));
}

void q4_0(Bytes p, Unpacked& out) {
  const float d = half_at(p);
  nibbles(p + 2, out);
  set_scales(out, d, -8.0F * d);
}

void q4_1(Bytes p, Unpacked& out) {
  nibbles(p + 4, out);
  set_scales(out, half_at(p), half_at(p + 2));
}

void q5_0(Bytes p, Unpacked& out) {
  nibbles(p + 6, out);
  add_fifth_bits(p + 2, out);
  const float d = half_at(p);
  set_scales(out, d, -16.0F * d);
}

void q5_1(Bytes p, Unpacked& out) {
  nibbles(p + 8, out);
  add_fifth_bits(p + 4, out);
  set_scales(out, half_at(p), half_at(p + 2));
}

void q8_0(Bytes p, Unpacked& out) {
  for (std::size_t i = 0; i < 32; ++i) out.q[i] = static_cast<std::uint8_t>(p[2 + i] + 128);
  set_scales(out, half_at(p), 0.0F);
}

/// 84 bytes: 16 scales (low half: scale, high half: minimum), 64 bytes of 2-bit values, d, dmin.
void q2_k(Bytes p, std::size_t part, Unpacked& out) {
  const float d = half_at(p + 80), least = half_at(p + 82);
  for (std::size_t i = 0; i < 32; ++i) out.q[i] = p[16 + part / 4 * 32 + i] >> (2 * (part % 4)) & 3;
  for (std::size_t s = 0; s < 2; ++s) {
    const std::uint8_t code = p[2 * part + s];
    out.scale[s] = d * static_cast<float>(code & 15);
    out.minimum[s] = -least * static_cast<float>(code >> 4);
  }
}

/// Sixteen 6-bit scales in 12 bytes: low halves in bytes 0..7, high bit pairs in 8..11.
int q3_scale(Bytes scales, std::size_t index) {
  const int low = index < 8 ? scales[index] & 15 : scales[index - 8] >> 4;
  const int high = scales[8 + index % 4] >> (2 * (index / 4)) & 3;
  return (low | high << 4) - 32;
}

/// 110 bytes: 32 of third bits (set = no offset), 64 of 2-bit values, 12 of scales, d.
void q3_k(Bytes p, std::size_t part, Unpacked& out) {
  const float d = half_at(p + 108);
  for (std::size_t i = 0; i < 32; ++i) {
    const int low = p[32 + part / 4 * 32 + i] >> (2 * (part % 4)) & 3;
    out.q[i] = static_cast<std::uint8_t>(low + ((p[i] >> part & 1) << 2));
  }
  for (std::size_t s = 0; s < 2; ++s) {
    out.scale[s] = d * static_cast<float>(q3_scale(p + 96, 2 * part + s));
    out.minimum[s] = -4.0F * out.scale[s];
  }
}

/// Eight 6-bit scales and minima in 12 bytes (Q4_K, Q5_K).
void set_k_scales(Bytes p, std::size_t part, Unpacked& out) {
  Bytes s = p + 4;
  const bool early = part < 4;
  const int scale = early ? s[part] & 63 : (s[part + 4] & 15) | (s[part - 4] >> 6) << 4;
  const int least = early ? s[part + 4] & 63 : s[part + 4] >> 4 | (s[part] >> 6) << 4;
  set_scales(out, half_at(p) * static_cast<float>(scale), -half_at(p + 2) * static_cast<float>(least));
}

void half_bytes(Bytes quants, std::size_t part, Unpacked& out) {
  const unsigned shift = part % 2 == 0 ? 0 : 4;
  for (std::size_t i = 0; i < 32; ++i) out.q[i] = quants[part / 2 * 32 + i] >> shift & 15;
}

void q4_k(Bytes p, std::size_t part, Unpacked& out) {
  half_bytes(p + 16, part, out);
  set_k_scales(p, part, out);
}

void q5_k(Bytes p, std::size_t part, Unpacked& out) {
  half_bytes(p + 48, part, out);
  for (std::size_t i = 0; i < 32; ++i) out.q[i] = static_cast<std::uint8_t>(out.q[i] + ((p[16 + i] >> part & 1) << 4));
  set_k_scales(p, part, out);
}

/// 210 bytes: 128 of low halves, 64 of high bit pairs, 16 signed scales, d.
void q6_k(Bytes p, std::size_t part, Unpacked& out) {
  Bytes low = p + part / 4 * 64 + part % 2 * 32, high = p + 128 + part / 4 * 32;
  const std::size_t low_shift = part % 4 / 2 * 4, high_shift = part % 4 * 2;
  for (std::size_t i = 0; i < 32; ++i)
    out.q[i] = static_cast<std::uint8_t>(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32 + 128);
  const float d = half_at(p + 208);
  for (std::size_t s = 0; s < 2; ++s) {
    out.scale[s] = d * static_cast<float>(static_cast<std::int8_t>(p[192 + part * 2 + s]));
    out.minimum[s] = 0.0F;
  }
}

/// Nibbles that index a table of signed bytes; 8 bits hold them exactly.
void table_nibbles(Bytes from, Unpacked& out) {
  nibbles(from, out);
  for (std::uint8_t& q : out.q) q = static_cast<std::uint8_t>(model::iq4_values[q] + 128);
}

void iq4_nl(Bytes p, Unpacked& out) {
  table_nibbles(p + 2, out);
  set_scales(out, half_at(p), 0.0F);
}

/// 136 bytes: d, 8 six-bit scales (upper bits in 2 bytes, low nibbles in 4), 128 of nibbles.
void iq4_xs(Bytes p, std::size_t part, Unpacked& out) {
  const int low = p[4 + part / 2] >> (part % 2 * 4) & 15, high = p[2 + part / 4] >> (part % 4 * 2) & 3;
  table_nibbles(p + 8 + part * 16, out);
  set_scales(out, half_at(p) * static_cast<float>((low | high << 4) - 32), 0.0F);
}

/// Points of a grid are a few whole numbers; 8 bits hold them exactly.
void grid(DType type, Bytes p, std::size_t part, Unpacked& out) {
  model::GridRun run;
  model::read_grid_run(type, p, part, run);
  for (std::size_t i = 0; i < 32; ++i) out.q[i] = static_cast<std::uint8_t>(run.q[i] + 128);
  for (std::size_t s = 0; s < 2; ++s) out.scale[s] = run.scale[s], out.minimum[s] = 0.0F;
}

/// The scale is rounded to fp16 first, so the integers are the nearest ones for the scale that is kept.
void floats(DType type, const std::byte* row, std::size_t first, std::size_t count, Unpacked& out) {
  std::array<float, 32> w{};
  const std::size_t width = block_shape(type).bytes;
  dequantize(type, {row + first * width, count * width}, {w.data(), count});
  float most = 0.0F;
  bool finite = true;
  for (const float x : w) {
    most = std::max(most, std::fabs(x));
    finite &= std::isfinite(x);
  }
  if (!finite) {
    std::fill_n(out.q, 32, std::uint8_t{128});
    return set_scales(out, std::numeric_limits<float>::quiet_NaN(), 0.0F);
  }
  const float scale = model::half_to_float(model::float_to_half(most / 127.0F));
  for (std::size_t i = 0; i < 32; ++i) {
    const float q = scale > 0.0F ? std::nearbyint(w[i] / scale) : 0.0F;
    out.q[i] = static_cast<std::uint8_t>(static_cast<int>(std::clamp(q, -127.0F, 127.0F)) + 128);
  }
  set_scales(out, scale, 0.0F);
}

}  // namespace

void unpack_block(DType type, const std::byte* row, std::size_t block, std::size_t cols, Unpacked& out) {
  const BlockShape shape = block_shape(type);
  const auto* bytes = reinterpret_cast<Bytes>(row);
  if (shape.values == 1) return floats(type, row, block * 32, std::min<std::size_t>(32, cols - block * 32), out);
  const std::size_t per = shape.values / 32;
  const Bytes p = bytes + block / per * shape.bytes;
  if (model::has_grid(type)) return grid(type, p, block % per, out);
  switch (type) {
    case DType::q4_0:
      return q4_0(p, out);
    case DType::q4_1:
      return q4_1(p, out);
    case DType::q5_0:
      return q5_0(p, out);
    case DType::q5_1:
      return q5_1(p, out);
    case DType::q8_0:
      return q8_0(p, out);
    case DType::q2_k:
      return q2_k(p, block % per, out);
    case DType::q3_k:
      return q3_k(p, block % per, out);
    case DType::q4_k:
      return q4_k(p, block % per, out);
    case DType::q5_k:
      return q5_k(p, block % per, out);
    case DType::iq4_nl:
      return iq4_nl(p, out);
    case DType::iq4_xs:
      return iq4_xs(p, block % per, out);
    default:
      return q6_k(p, block % per, out);
  }
}

}  // namespace frugal::cpu

// The reference formula of every storage format. Scales are halves, quants small integers; each value is one product
// (and one sum) in fp32, rounded once per operation: this file is compiled without contraction, so that all machines
// give the same bits. Little-endian.
#include <frugal/core/error.hpp>
#include <frugal/model/tensor.hpp>

#include <cstring>
#include <string>

#include "model/half.hpp"
#include "model/iq4.hpp"
#include "model/iq_runs.hpp"

namespace frugal {
namespace {

using Bytes = const std::uint8_t*;

float half_at(Bytes p) {
  std::uint16_t h;
  std::memcpy(&h, p, sizeof h);
  return model::half_to_float(h);
}

float as_float(int q) { return static_cast<float>(q); }
int as_signed(std::uint8_t byte) { return static_cast<std::int8_t>(byte); }

// Blocks of 32: the low nibbles of 16 bytes are values 0..15, the high ones 16..31; fives add bit i of a 32-bit mask to
// value i.

int nibble(Bytes qs, int i) { return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4; }
int bit_of(Bytes mask, int i) { return mask[i / 8] >> (i % 8) & 1; }

void q4_0(Bytes b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 32; ++i) y[i] = d * as_float(nibble(b + 2, i) - 8);
}

void q4_1(Bytes b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  for (int i = 0; i < 32; ++i) y[i] = d * as_float(nibble(b + 4, i)) + m;
}

void q5_0(Bytes b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 32; ++i) y[i] = d * as_float((nibble(b + 6, i) | bit_of(b + 2, i) << 4) - 16);
}

void q5_1(Bytes b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  for (int i = 0; i < 32; ++i) y[i] = d * as_float(nibble(b + 8, i) | bit_of(b + 4, i) << 4) + m;
}

void q8_0(Bytes b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 32; ++i) y[i] = d * as_float(as_signed(b[2 + i]));
}

// Blocks of 256. "run" counts stretches of 32 values, "group" stretches of 16.

/// Two bits a value: byte l of each 32 serves values l, l + 32, l + 64, l + 96 of its 128.
int pair_of_bits(Bytes qs, int run, int l) { return qs[run / 4 * 32 + l] >> (run % 4 * 2) & 3; }

// scales[16]: 4-bit scale and 4-bit minimum of a group; qs[64]; d; dmin
void q2_k(Bytes b, float* y) {
  const float d = half_at(b + 80), dmin = half_at(b + 82);
  for (int i = 0; i < 256; ++i) {
    const std::uint8_t scale = b[i / 16];
    const float dl = d * as_float(scale & 15), ml = dmin * as_float(scale >> 4);
    y[i] = dl * as_float(pair_of_bits(b + 16, i / 32, i % 32)) - ml;
  }
}

/// The 16 six-bit scales of q3_k: low nibbles in 8 bytes, upper pairs of bits in 4 more; offset by 32.
int q3_scale(Bytes s, int group) {
  const int low = group < 8 ? s[group] & 15 : s[group - 8] >> 4;
  return (low | (s[8 + group % 4] >> (group / 4 * 2) & 3) << 4) - 32;
}

// hmask[32]: bit `run` of byte l; a zero there takes 4 away. qs[64]; scales[12]; d
void q3_k(Bytes b, float* y) {
  const float d = half_at(b + 108);
  for (int i = 0; i < 256; ++i) {
    const int run = i / 32, l = i % 32;
    const int high = (b[l] >> run & 1) != 0 ? 0 : 4;
    y[i] = d * as_float(q3_scale(b + 96, i / 16)) * as_float(pair_of_bits(b + 32, run, l) - high);
  }
}

/// The 8 six-bit scales (or minima, first = 4) of q4_k and q5_k in 12 bytes.
int k_scale(Bytes s, int run, int first) {
  if (run < 4) return s[first + run] & 63;
  const int low = first == 0 ? s[4 + run] & 15 : s[4 + run] >> 4;
  return low | (s[first + run - 4] >> 6) << 4;
}

/// Nibbles of a 64-value stretch: the low ones of 32 bytes first, then the high ones.
int k_nibble(Bytes qs, int run, int l) { return qs[run / 2 * 32 + l] >> (run % 2 * 4) & 15; }

// d; dmin; scales[12]; qs[128]
void q4_k(Bytes b, float* y) {
  const float d = half_at(b), dmin = half_at(b + 2);
  for (int run = 0; run < 8; ++run) {
    const float dl = d * as_float(k_scale(b + 4, run, 0)), ml = dmin * as_float(k_scale(b + 4, run, 4));
    for (int l = 0; l < 32; ++l) y[run * 32 + l] = dl * as_float(k_nibble(b + 16, run, l)) - ml;
  }
}

// d; dmin; scales[12]; qh[32]: bit `run` of byte l; qs[128]
void q5_k(Bytes b, float* y) {
  const float d = half_at(b), dmin = half_at(b + 2);
  for (int run = 0; run < 8; ++run) {
    const float dl = d * as_float(k_scale(b + 4, run, 0)), ml = dmin * as_float(k_scale(b + 4, run, 4));
    for (int l = 0; l < 32; ++l) {
      const int q = k_nibble(b + 48, run, l) | (b[16 + l] >> run & 1) << 4;
      y[run * 32 + l] = dl * as_float(q) - ml;
    }
  }
}

// ql[128]: of each 64 bytes, runs 0 and 1 are the low nibbles, runs 2 and 3 the high ones; qh[64]; scales[16], signed;
// d
void q6_k(Bytes b, float* y) {
  const float d = half_at(b + 208);
  for (int i = 0; i < 256; ++i) {
    const int run = i / 32, l = i % 32;
    const int low = b[run / 4 * 64 + run % 2 * 32 + l] >> (run % 4 / 2 * 4) & 15;
    const int q = (low | pair_of_bits(b + 128, run, l) << 4) - 32;
    y[i] = d * as_float(as_signed(b[192 + i / 16])) * as_float(q);
  }
}

// d; qs[16]: a nibble is an index into iq4_values
void iq4_nl(Bytes b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 32; ++i) y[i] = d * as_float(model::iq4_values[static_cast<std::size_t>(nibble(b + 2, i))]);
}

// d; scales_h: upper pairs of bits of 8 six-bit scales, offset by 32; scales_l[4]: their low nibbles; 8 times qs[16]
void iq4_xs(Bytes b, float* y) {
  const float d = half_at(b);
  for (int run = 0; run < 8; ++run) {
    const int low = b[4 + run / 2] >> (run % 2 * 4) & 15, high = b[2 + run / 4] >> (run % 4 * 2) & 3;
    const float dl = d * as_float((low | high << 4) - 32);
    for (int i = 0; i < 32; ++i)
      y[run * 32 + i] = dl * as_float(model::iq4_values[static_cast<std::size_t>(nibble(b + 8 + run * 16, i))]);
  }
}

template <DType type>
void grid(Bytes b, float* y) {
  model::GridRun values;
  for (std::size_t run = 0; run < 8; ++run) {
    model::read_grid_run(type, b, run, values);
    for (std::size_t i = 0; i < 32; ++i) y[run * 32 + i] = values.scale[i / 16] * as_float(values.q[i]);
  }
}

void f32(Bytes b, float* y) { std::memcpy(y, b, sizeof *y); }
void f16(Bytes b, float* y) { *y = half_at(b); }
void bf16(Bytes b, float* y) {
  std::uint16_t h;
  std::memcpy(&h, b, sizeof h);
  *y = model::bf16_to_float(h);
}

template <void (*block)(Bytes, float*)>
void each(BlockShape shape, std::span<const std::byte> data, std::span<float> out) {
  Bytes in = reinterpret_cast<Bytes>(data.data());
  for (std::size_t i = 0; i < out.size(); i += shape.values, in += shape.bytes) block(in, out.data() + i);
}

}  // namespace

void dequantize(DType type, std::span<const std::byte> data, std::span<float> out) {
  const BlockShape shape = block_shape(type);
  if (out.size() % shape.values != 0 || data.size() / shape.bytes < out.size() / shape.values)
    throw Error(Errc::invalid_argument, "dequantize: " + std::to_string(out.size()) + " values of " +
                                            std::string(to_string(type)) + " do not fill whole blocks of " +
                                            std::to_string(data.size()) + " bytes");
  switch (type) {
    case DType::f32:
      return each<f32>(shape, data, out);
    case DType::f16:
      return each<f16>(shape, data, out);
    case DType::bf16:
      return each<bf16>(shape, data, out);
    case DType::q4_0:
      return each<q4_0>(shape, data, out);
    case DType::q4_1:
      return each<q4_1>(shape, data, out);
    case DType::q5_0:
      return each<q5_0>(shape, data, out);
    case DType::q5_1:
      return each<q5_1>(shape, data, out);
    case DType::q8_0:
      return each<q8_0>(shape, data, out);
    case DType::q2_k:
      return each<q2_k>(shape, data, out);
    case DType::q3_k:
      return each<q3_k>(shape, data, out);
    case DType::q4_k:
      return each<q4_k>(shape, data, out);
    case DType::q5_k:
      return each<q5_k>(shape, data, out);
    case DType::q6_k:
      return each<q6_k>(shape, data, out);
    case DType::iq4_nl:
      return each<iq4_nl>(shape, data, out);
    case DType::iq4_xs:
      return each<iq4_xs>(shape, data, out);
    case DType::iq2_xxs:
      return each<grid<DType::iq2_xxs>>(shape, data, out);
    case DType::iq2_xs:
      return each<grid<DType::iq2_xs>>(shape, data, out);
    case DType::iq2_s:
      return each<grid<DType::iq2_s>>(shape, data, out);
    case DType::iq3_xxs:
      return each<grid<DType::iq3_xxs>>(shape, data, out);
    case DType::iq3_s:
      return each<grid<DType::iq3_s>>(shape, data, out);
    case DType::iq1_s:
      return each<grid<DType::iq1_s>>(shape, data, out);
    case DType::iq1_m:
      return each<grid<DType::iq1_m>>(shape, data, out);
  }
}

void dequantize_rows(const Tensor& tensor, std::uint64_t first, std::uint64_t count, std::span<float> out) {
  if (tensor.cols == 0 || first > tensor.rows || count > tensor.rows - first || out.size() / tensor.cols != count ||
      out.size() % tensor.cols != 0)
    throw Error(Errc::invalid_argument, "dequantize_rows: rows " + std::to_string(first) + " + " +
                                            std::to_string(count) + " of " + tensor.name + " [" +
                                            std::to_string(tensor.rows) + ", " + std::to_string(tensor.cols) +
                                            "] into " + std::to_string(out.size()) + " values");
  dequantize(tensor.type, tensor.data.subspan(first * tensor.row_bytes(), count * tensor.row_bytes()), out);
}

}  // namespace frugal

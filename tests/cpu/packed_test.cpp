// Weights on their way from a file's blocks to the kernels' strips: what is kept, exactly or within the stated
// rounding.
#include "cpu/packed.hpp"
#include "cpu/unpack.hpp"
#include "model/half.hpp"
#include "support/tiny_model.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include <cmath>
#include <cstring>
#include <tuple>
#include <vector>

using namespace frugal;
using namespace frugal::cpu;

namespace {

constexpr DType quantised[] = {DType::q4_0,    DType::q4_1,   DType::q5_0,    DType::q5_1,   DType::q8_0,
                               DType::q2_k,    DType::q3_k,   DType::q4_k,    DType::q5_k,   DType::q6_k,
                               DType::iq4_nl,  DType::iq4_xs, DType::iq2_xxs, DType::iq2_xs, DType::iq2_s,
                               DType::iq3_xxs, DType::iq3_s,  DType::iq1_s,   DType::iq1_m};

std::vector<float> expanded(DType type, std::span<const std::byte> data, std::size_t values) {
  std::vector<float> out(values);
  dequantize(type, data, out);
  return out;
}

/// Weight `col` of row `row` as the packed strips hold it.
float packed_value(const PackedMatrix& m, std::uint32_t row, std::uint32_t col) {
  const FormatShape shape = format_shape(m.format);
  const StripView strip = m.strip(row / 16);
  const std::size_t block = col / 32, i = col % 32, r = row % 16;
  const std::uint8_t* quants = strip.quants + block * shape.quant_bytes;
  const std::uint16_t* scales = strip.scales + block * shape.scale_halves();
  const bool eight = is_offset(m.format);
  const std::uint8_t stored = quants[(eight ? i / 4 : i % 16 / 4) * 64 + r * 4 + i % 4];
  int q = eight ? stored - 128 : i < 16 ? stored & 15 : stored >> 4;
  if (m.format == Format::q5) q += (quants[256 + r * 4 + i % 4] >> i / 4 & 1) << 4;
  const std::size_t sub = shape.subs == 2 ? i / 16 : 0;
  const float minimum = shape.minimum ? model::half_to_float(scales[(shape.subs + sub) * 16 + r]) : 0.0F;
  return model::half_to_float(scales[sub * 16 + r]) * static_cast<float>(q) + minimum;
}

}  // namespace

TEST_CASE("Unpacked blocks are the dequantised values of every quantised format") {
  const DType type = GENERATE(Catch::Generators::from_range(std::begin(quantised), std::end(quantised)));
  CAPTURE(to_string(type));
  constexpr std::size_t values = 2048;
  const auto data = testing::random_blocks(type, values, 0.05F, 7);
  const auto want = expanded(type, data, values);
  const float zero = is_offset(packed_format(type)) ? 128.0F : 0.0F;
  Unpacked u;
  for (std::size_t b = 0; b < values / 32; ++b) {
    unpack_block(type, data.data(), b, values, u);
    for (std::size_t i = 0; i < 32; ++i) {
      const float got = u.scale[i / 16] * (static_cast<float>(u.q[i]) - zero) + u.minimum[i / 16];
      REQUIRE(std::fabs(got - want[32 * b + i]) <=
              1e-6F * (std::fabs(want[32 * b + i]) + std::fabs(u.minimum[i / 16])));
    }
  }
}

TEST_CASE(
    "Packed strips hold the file's weights: legacy formats to the bit of their scales, K formats to 2^-11 of them") {
  const DType type = GENERATE(Catch::Generators::from_range(std::begin(quantised), std::end(quantised)));
  CAPTURE(to_string(type));
  constexpr std::uint32_t rows = 21, cols = 512;  // a full strip and a part of one
  const auto data = testing::random_blocks(type, rows * cols, 0.05F, 11);
  const Tensor tensor{"w", type, rows, cols, data};
  PackedMatrix m = packed_shape(tensor);
  std::vector<std::uint8_t> storage(m.bytes() + 64);
  pack_strips(tensor, m, 0, m.strips, storage.data());
  m.data = storage.data();
  const auto want = expanded(type, data, rows * cols);
  const bool k_format = block_shape(type).values == 256;
  float most = 0.0F;
  for (const float w : want) most = std::max(most, std::fabs(w));
  const float bound = (k_format ? 0x1p-9F : 1e-6F) * most;
  for (std::uint32_t r = 0; r < rows; ++r)
    for (std::uint32_t c = 0; c < cols; ++c) REQUIRE(std::fabs(packed_value(m, r, c) - want[r * cols + c]) <= bound);
  for (std::uint32_t c = 0; c < cols; ++c) REQUIRE(packed_value(m, rows, c) == 0.0F);  // padding rows
}

TEST_CASE("Plain floats are packed as they are, input after input, and what is missing of a strip or a block is zero") {
  const DType type = GENERATE(DType::f16, DType::bf16, DType::f32);
  CAPTURE(to_string(type));
  constexpr std::uint32_t rows = 21, cols = 72;
  const auto data = testing::random_blocks(type, rows * cols, 0.05F, 11);
  const Tensor tensor{"w", type, rows, cols, data};
  PackedMatrix m = packed_shape(tensor);
  const std::size_t width = block_shape(type).bytes;
  REQUIRE(m.bytes() == 2 * 16 * 96 * width);
  std::vector<std::uint8_t> storage(m.bytes(), 0xEE);
  REQUIRE(pack_strips(tensor, m, 0, m.strips, storage.data()));
  const std::byte zero[4] = {};
  for (std::uint32_t r = 0; r < 32; ++r)
    for (std::uint32_t c = 0; c < 96; ++c) {
      const std::byte* want = r < rows && c < cols ? tensor.row(r).data() + c * width : zero;
      const std::uint32_t place = type == DType::bf16 ? r % 8 * 2 + r % 16 / 8 : r % 16;  // rows r and r + 8 are paired
      REQUIRE(std::memcmp(&storage[r / 16 * m.strip_bytes() + (c * 16 + place) * width], want, width) == 0);
    }
}

TEST_CASE("Packing says where a plain float is not a finite number") {
  for (const auto& [type, bits, finite] :
       std::vector<std::tuple<DType, std::uint32_t, bool>>{{DType::f16, 0x7BFF, true},
                                                           {DType::f16, 0xFC00, false},
                                                           {DType::f16, 0x7E01, false},
                                                           {DType::bf16, 0xFF7F, true},
                                                           {DType::bf16, 0x7F80, false},
                                                           {DType::bf16, 0xFFC0, false},
                                                           {DType::f32, 0x7F7FFFFF, true},
                                                           {DType::f32, 0xFF800000, false},
                                                           {DType::f32, 0x7F800001, false}}) {
    CAPTURE(to_string(type), bits);
    constexpr std::uint32_t rows = 17, cols = 40;
    auto data = testing::random_blocks(type, rows * cols, 0.05F, 1);
    const std::size_t width = block_shape(type).bytes;
    std::memcpy(data.data() + (rows * cols - 1) * width, &bits, width);  // little-endian, as the files are
    const Tensor tensor{"w", type, rows, cols, data};
    const PackedMatrix m = packed_shape(tensor);
    std::vector<std::uint8_t> storage(m.bytes());
    CHECK(pack_strips(tensor, m, 0, 1, storage.data()));
    CHECK(pack_strips(tensor, m, 1, 2, storage.data()) == finite);
  }
}

TEST_CASE(
    "Repacked plain floats become 8-bit blocks within half a step, also where a row is no whole number of blocks") {
  constexpr std::uint32_t rows = 3, cols = 72;
  const auto data = testing::random_blocks(DType::f32, rows * cols, 0.1F, 3);
  const Tensor tensor{"w", DType::f32, rows, cols, data};
  PackedMatrix m = packed_shape(tensor, FloatWeights::repacked);
  REQUIRE(m.blocks == 3);
  std::vector<std::uint8_t> storage(m.bytes());
  pack_strips(tensor, m, 0, m.strips, storage.data());
  m.data = storage.data();
  const auto want = expanded(DType::f32, data, rows * cols);
  for (std::uint32_t r = 0; r < rows; ++r) {
    for (std::uint32_t b = 0; b < 3; ++b) {
      float most = 0.0F;
      for (std::uint32_t c = 32 * b; c < std::min(cols, 32 * b + 32); ++c)
        most = std::max(most, std::fabs(want[r * cols + c]));
      for (std::uint32_t c = 32 * b; c < 32 * b + 32; ++c) {
        const float w = c < cols ? want[r * cols + c] : 0.0F;
        REQUIRE(std::fabs(packed_value(m, r, c) - w) <= 0.51F * most / 127.0F);
      }
    }
  }
}

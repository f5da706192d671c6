// Products with weights that nobody quantised: every table of this machine has the bits of the definition, written out
// here in scalar steps, and the sums are those of exact arithmetic to the rounding of fp32.
#include "cpu/kernels/kernels.hpp"
#include "cpu/memory.hpp"
#include "cpu/product.hpp"
#include "cpu/random_numbers.hpp"
#include "cpu/tables.hpp"
#include "support/tiny_model.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

using namespace frugal;
using namespace frugal::cpu;
using Catch::Generators::from_range;
using Catch::Generators::table;
using frugal::testing::normal_values;
using frugal::testing::same_bits;
using frugal::testing::Weight;

namespace {

constexpr DType types[] = {DType::f16, DType::bf16, DType::f32};

/// Rows [rows, stride] of `cols` random numbers, zeros behind them, and their panels for tables' other matrices.
struct RandomRows {
  std::uint32_t rows, blocks;
  std::size_t stride;
  std::vector<float> x;

  RandomRows(std::uint32_t count, std::uint32_t cols, unsigned seed)
      : rows(count), blocks((cols + 31) / 32), stride(blocks * 32 + 16), x(count * stride, 0.0F) {
    for (std::uint32_t r = 0; r < rows; ++r) {
      const auto row = normal_values(cols, seed + r);
      std::copy(row.begin(), row.end(), x.begin() + static_cast<std::ptrdiff_t>(r * stride));
    }
  }
  FloatRows floats() const { return {x.data(), stride, rows}; }
};

/// Runs p over the rows on a crew; its outputs [rows, strips * 16].
std::vector<float> product(const Kernels& kernels, Crew& crew, Product p, const RandomRows& x,
                           const std::vector<float>& before = {}) {
  std::vector<float> out = before;
  out.resize(std::size_t{x.rows} * p.weight->strips * 16);
  p.out = out.data(), p.stride = p.weight->strips * 16;
  std::vector<std::uint8_t> bytes(Panels::bytes(x.rows, x.blocks));
  const Panels panels{bytes.data(), x.rows, x.blocks};
  for (std::uint32_t r = 0; r < x.rows; ++r) panels.fill(kernels, r, x.x.data() + r * x.stride);
  crew.run([&](unsigned) { multiply(kernels, crew, {&p, 1}, {{}, panels, x.floats()}); });
  return out;
}

/// The definition: a block of 32 inputs is a chain of fused multiply-adds from zero, and block after block is added.
float defined(const float* w, std::uint32_t cols, const float* x, float bias) {
  float total = bias;
  for (std::uint32_t first = 0; first < cols; first += 32) {
    float sum = 0.0F;
    for (std::uint32_t i = first; i < std::min(cols, first + 32); ++i) sum = std::fma(w[i], x[i], sum);
    total += sum;
  }
  return total;
}

std::vector<float> defined(const Tensor& tensor, const RandomRows& x, const float* bias) {
  const auto out = static_cast<std::uint32_t>(tensor.rows), cols = static_cast<std::uint32_t>(tensor.cols);
  const std::uint32_t width = (out + 15) / 16 * 16;
  std::vector<float> weights(std::size_t{out} * cols), want(std::size_t{x.rows} * width);
  dequantize_rows(tensor, 0, out, weights);
  for (std::uint32_t r = 0; r < x.rows; ++r)
    for (std::uint32_t o = 0; o < width; ++o)
      want[r * width + o] = o < out           ? defined(weights.data() + o * cols, cols, x.x.data() + r * x.stride,
                                              bias != nullptr ? bias[o] : 0.0F)
                            : bias != nullptr ? bias[o]
                                              : 0.0F;
  return want;
}

}  // namespace

TEST_CASE("A product with plain floats has the bits of its definition from every table, 1 to 40 rows and more") {
  const DType type = GENERATE(from_range(std::begin(types), std::end(types)));
  CAPTURE(to_string(type));
  constexpr std::uint32_t out = 40, in = 13 * 32;  // a part of a strip; more blocks than are expanded at once
  const Weight w(type, out, in);
  const auto bias = normal_values(48, 9);
  Crew one(1), two(2);
  for (std::uint32_t rows = 1; rows <= 40; ++rows) {
    const RandomRows x(rows == 40 ? 140 : rows, in, rows);  // groups of 128 rows share a strip
    const auto want = defined(w.tensor, x, bias.data());
    for (const Kernels* k : testing::tables()) {
      CAPTURE(std::string(k->name), x.rows);
      const Product p{&w.matrix, nullptr, bias.data(), nullptr, 0, Ending::store};
      REQUIRE(same_bits(product(*k, rows % 2 == 0 ? one : two, p, x), want));
    }
  }
}

TEST_CASE("Random shapes, with rows and inputs that fill no strip and no block, have the bits of the definition") {
  std::mt19937 random(17);
  const auto up_to = [&](std::uint32_t most) { return 1 + static_cast<std::uint32_t>(random()) % most; };
  Crew crew(2);
  for (int i = 0; i < 60; ++i) {
    const DType type = types[i % 3];
    const std::uint32_t out = up_to(70), in = up_to(400), rows = up_to(i % 2 == 0 ? 6 : 30);
    CAPTURE(to_string(type), out, in, rows);
    const Weight w(type, out, in);
    const RandomRows x(rows, in, static_cast<unsigned>(i));
    const auto want = defined(w.tensor, x, nullptr);
    for (const Kernels* k : testing::tables()) {
      CAPTURE(std::string(k->name));
      REQUIRE(same_bits(product(*k, crew, {&w.matrix, nullptr, nullptr, nullptr, 0, Ending::store}, x), want));
    }
  }
}

TEST_CASE("A product with plain floats is that of exact arithmetic to the rounding of fp32 sums") {
  const DType type = GENERATE(from_range(std::begin(types), std::end(types)));
  constexpr std::uint32_t out = 16, in = 4096, rows = 3;
  const Weight w(type, out, in);
  std::vector<float> weights(out * in);
  dequantize_rows(w.tensor, 0, out, weights);
  const RandomRows x(rows, in, 31);
  Crew crew(1);
  const auto got =
      product(*available_kernels().front(), crew, {&w.matrix, nullptr, nullptr, nullptr, 0, Ending::store}, x);
  for (std::uint32_t r = 0; r < rows; ++r)
    for (std::uint32_t o = 0; o < out; ++o) {
      double want = 0.0, size = 0.0;
      for (std::uint32_t i = 0; i < in; ++i) {
        const double term = double{x.x[r * x.stride + i]} * double{weights[o * in + i]};
        want += term, size += term * term;
      }
      REQUIRE(std::fabs(double{got[r * out + o]} - want) <= 1e-5 * std::sqrt(size));
    }
}

TEST_CASE(
    "Subnormal weights and inputs count, signs of zero are kept, and what overflows is infinite, in every table") {
  const DType type = GENERATE(from_range(std::begin(types), std::end(types)));
  CAPTURE(to_string(type));
  constexpr std::uint32_t out = 16, in = 40;
  std::vector<std::byte> data(out * in * block_shape(type).bytes);
  const std::uint32_t least = 1, greatest = type == DType::f16 ? 0x7BFF : type == DType::bf16 ? 0x7F7F : 0x7F7FFFFF;
  for (std::uint32_t i = 0; i < out * in; ++i)  // subnormals of both signs; the last row: the greatest number
    std::memcpy(data.data() + i * block_shape(type).bytes, i / in == 15 ? &greatest : &least, block_shape(type).bytes);
  data[block_shape(type).bytes - 1] |= std::byte{0x80};
  Weight w(type, out, in);
  w.data = data, w.tensor.data = w.data;
  REQUIRE(pack_strips(w.tensor, w.matrix, 0, 1, w.buffer.data()));
  Crew crew(1);
  for (const std::uint32_t rows : {1U, 2U, 7U, 20U}) {
    RandomRows x(rows, in, 5);
    std::fill_n(x.x.begin(), in, 3e38F);
    if (rows > 1) std::fill_n(x.x.begin() + static_cast<std::ptrdiff_t>(x.stride), in, 1e-41F);
    const auto want = defined(w.tensor, x, nullptr);
    CHECK(want[1] != 0.0F);
    CHECK(std::isinf(want[15]));
    if (rows > 1) CHECK((want[16 + 15] > 0.0F && std::isfinite(want[16 + 15])));
    for (const Kernels* k : testing::tables()) {
      CAPTURE(std::string(k->name), rows);
      REQUIRE(same_bits(product(*k, crew, {&w.matrix, nullptr, nullptr, nullptr, 0, Ending::store}, x), want));
    }
  }
}

TEST_CASE("An input that is not a number makes its own row's outputs none, and no other row's") {
  constexpr std::uint32_t out = 32, in = 96, rows = 9;
  const Weight w(DType::f16, out, in);
  Crew crew(1);
  for (const Kernels* k : testing::tables()) {
    RandomRows x(rows, in, 3);
    const auto want = product(*k, crew, {&w.matrix, nullptr, nullptr, nullptr, 0, Ending::store}, x);
    x.x[4 * x.stride + 70] = NAN;
    const auto got = product(*k, crew, {&w.matrix, nullptr, nullptr, nullptr, 0, Ending::store}, x);
    for (std::uint32_t r = 0; r < rows; ++r)
      for (std::uint32_t o = 0; o < out; ++o)
        REQUIRE((r == 4 ? std::isnan(got[r * out + o]) : got[r * out + o] == want[r * out + o]));
  }
}

TEST_CASE("The endings add to the output and gate it, also where only one of two matrices is of plain floats") {
  constexpr std::uint32_t out = 32, in = 96;
  const auto [gate_type, up_type] = GENERATE(table<DType, DType>(
      {{DType::f16, DType::bf16}, {DType::f32, DType::q8_0}, {DType::q4_1, DType::f16}, {DType::q6_k, DType::f32}}));
  const Weight gate(gate_type, out, in), up(up_type, out, in);
  Crew crew(2);
  for (const std::uint32_t rows : {1U, 5U, 13U, 33U, 150U}) {
    const RandomRows x(rows, in, rows);
    for (const Kernels* k : testing::tables()) {
      CAPTURE(std::string(k->name), rows, to_string(gate_type), to_string(up_type));
      const Product plain{&gate.matrix, nullptr, nullptr, nullptr, 0, Ending::store};
      Product other = plain, add = plain, both = plain;
      other.weight = &up.matrix, add.ending = Ending::add, both.partner = &up.matrix, both.ending = Ending::gate;
      auto g = product(*k, crew, plain, x);
      const auto u = product(*k, crew, other, x);
      const std::vector<float> ones(g.size(), 1.0F);
      const auto sum = product(*k, crew, add, x, ones);
      for (std::size_t i = 0; i < sum.size(); ++i) REQUIRE(sum[i] == 1.0F + g[i]);
      k->silu_mul(g.data(), u.data(), g.size());
      REQUIRE(same_bits(product(*k, crew, both, x), g));
    }
  }
}

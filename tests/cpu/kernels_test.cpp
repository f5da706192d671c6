// The kernels of quantised matrices: every table of this machine against its portable twin bit by bit, and against exact arithmetic
// within the rounding of fp32.
#include "cpu/kernels/kernels.hpp"
#include "cpu/memory.hpp"
#include "cpu/product.hpp"
#include "cpu/random_numbers.hpp"
#include "cpu/tables.hpp"
#include "support/tiny_model.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

using namespace frugal;
using namespace frugal::cpu;
using frugal::testing::normal_values;
using frugal::testing::same_bits;
using frugal::testing::Weight;

namespace {

std::vector<std::uint8_t> quantized(const Kernels& kernels, const std::vector<float>& x, std::uint32_t rows,
                                    std::uint32_t cols) {
  std::vector<std::uint8_t> bytes(Panels::bytes(rows, cols / 32));
  const Panels panels{bytes.data(), rows, cols / 32};
  for (std::uint32_t r = 0; r < rows; ++r) panels.fill(kernels, r, x.data() + r * cols);
  return bytes;
}

/// x W^T [rows, strips * 16] by one table on one crew.
std::vector<float> product(const Kernels& kernels, Crew& crew, const PackedMatrix& w, std::vector<std::uint8_t>& x,
                           std::uint32_t rows, const float* bias = nullptr) {
  std::vector<float> out(std::size_t{rows} * w.strips * 16);
  const Product p[] = {{&w, nullptr, bias, out.data(), w.strips * 16, Ending::store}};
  crew.run([&](unsigned) { multiply(kernels, crew, p, {{}, {x.data(), rows, w.blocks}}); });
  return out;
}

/// The bytes of each row, which stand in panels of different widths for different tables.
std::vector<std::uint8_t> rows_of(const Kernels& kernels, const std::vector<std::uint8_t>& bytes, std::uint32_t rows,
                                  std::uint32_t blocks) {
  std::vector<std::uint8_t> out;
  const Panels x{const_cast<std::uint8_t*>(bytes.data()), rows, blocks};
  for (std::uint32_t r = 0; r < rows; ++r) {
    const Panels::Place p = x.panel_of(kernels, r);
    const std::size_t lane = r % kernels.panel_rows();
    for (std::uint32_t b = 0; b < blocks; ++b) {
      const std::uint8_t* block = bytes.data() + p.at + b * panel_block_bytes(p.lanes);
      out.insert(out.end(), block + 32 * lane, block + 32 * lane + 32);
      const std::uint8_t* scale = block + 32 * p.lanes + sizeof(PanelScale) * lane;
      out.insert(out.end(), scale, scale + sizeof(PanelScale));
    }
  }
  return out;
}

// Plain floats as repacked ones; as they are: floats_test.cpp.
constexpr DType types[] = {DType::q4_1, DType::q4_0, DType::q4_k, DType::q2_k, DType::q3_k, DType::q8_0,
                           DType::q5_0, DType::q5_1, DType::q5_k, DType::q6_k, DType::f16,  DType::f32};

}  // namespace

TEST_CASE("A product has the same bits from every kernel table, for every format and 1 to 32 rows") {
  const DType type = GENERATE(Catch::Generators::from_range(std::begin(types), std::end(types)));
  CAPTURE(to_string(type));
  constexpr std::uint32_t out = 40, in = 512;
  const Weight w(type, out, in, FloatWeights::repacked);
  const auto bias = normal_values(48, 9);
  Crew crew(1);
  for (const std::uint32_t rows : {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 9U, 12U, 16U, 17U, 27U, 32U}) {
    const auto x = normal_values(rows * in, rows);
    auto want_x = quantized(portable_kernels(), x, rows, in);
    const auto want = product(portable_kernels(), crew, w.matrix, want_x, rows, bias.data());
    for (const Kernels* k : testing::tables()) {
      CAPTURE(std::string(k->name), rows);
      auto panels = quantized(*k, x, rows, in);
      REQUIRE(rows_of(*k, panels, rows, in / 32) == rows_of(portable_kernels(), want_x, rows, in / 32));
      REQUIRE(same_bits(product(*k, crew, w.matrix, panels, rows, bias.data()), want));
    }
  }
}

TEST_CASE("The largest weights times the largest activations overflow nowhere, for every format and 1 to 17 rows") {
  const DType type = GENERATE(Catch::Generators::from_range(std::begin(types), std::end(types)));
  const std::uint8_t stored = GENERATE(std::uint8_t{0xFF}, std::uint8_t{0x00}, std::uint8_t{0x01});
  CAPTURE(to_string(type), static_cast<int>(stored));
  constexpr std::uint32_t out = 16, cols = 256;
  Weight w(type, out, cols, FloatWeights::repacked);
  std::memset(w.buffer.data(), stored, w.matrix.blocks * format_shape(w.matrix.format).quant_bytes);
  Crew crew(1);
  for (const std::uint32_t rows : {1U, 3U, 4U, 8U, 13U, 17U}) {
    std::vector<float> x(rows * cols, 1.0F);
    for (std::size_t i = 0; i < x.size(); i += 3) x[i] = rows % 2 == 0 ? -1.0F : 1.0F;
    for (const Kernels* k : testing::tables()) {
      CAPTURE(std::string(k->name), rows);
      auto panels = quantized(*k, x, rows, cols), plain = quantized(portable_kernels(), x, rows, cols);
      REQUIRE(same_bits(product(*k, crew, w.matrix, panels, rows),
                        product(portable_kernels(), crew, w.matrix, plain, rows)));
    }
  }
}

TEST_CASE("A row's product does not depend on how many rows are beside it, 1 to 33, nor on the threads") {
  const DType type = GENERATE(DType::q4_1, DType::q8_0, DType::q6_k, DType::q2_k, DType::q5_1, DType::q5_0);
  constexpr std::uint32_t out = 80, in = 256, most = 33;
  const Weight w(type, out, in, FloatWeights::repacked);
  const auto x = normal_values(most * in, 21);
  Crew one(1), two(2);
  for (const Kernels* k : testing::tables()) {
    CAPTURE(std::string(k->name), to_string(type));
    auto all = quantized(*k, x, most, in);
    const auto want = product(*k, one, w.matrix, all, most);
    for (std::uint32_t rows = 1; rows <= most; ++rows) {
      auto panels = quantized(*k, {x.begin(), x.begin() + rows * in}, rows, in);
      const auto got = product(*k, rows % 2 == 0 ? two : one, w.matrix, panels, rows);
      REQUIRE(same_bits(got, std::span(want).first(got.size())));
    }
  }
}

TEST_CASE("A product is the dequantised weights times the activations, within the activations' 8 bits") {
  const DType type = GENERATE(Catch::Generators::from_range(std::begin(types), std::end(types)));
  CAPTURE(to_string(type));
  constexpr std::uint32_t out = 32, in = 1024, rows = 3;
  const Weight w(type, out, in, FloatWeights::repacked);
  std::vector<float> weights(out * in);
  dequantize_rows(w.tensor, 0, out, weights);
  const auto x = normal_values(rows * in, 31);
  Crew crew(1);
  for (const Kernels* k : testing::tables()) {
    CAPTURE(std::string(k->name));
    auto panels = quantized(*k, x, rows, in);
    const auto got = product(*k, crew, w.matrix, panels, rows);
    for (std::uint32_t r = 0; r < rows; ++r) {
      for (std::uint32_t o = 0; o < out; ++o) {
        double want = 0.0, size = 0.0;
        for (std::uint32_t i = 0; i < in; ++i) {
          const double term = static_cast<double>(x[r * in + i]) * static_cast<double>(weights[o * in + i]);
          want += term, size += term * term;
        }
        // Independent errors: an activation is off by at most 1/254 of its block's largest, about 3 standard deviations
        // here.
        const double limit = 0.03 * std::sqrt(size) + 1e-6;
        REQUIRE(std::fabs(static_cast<double>(got[r * out + o]) - want) <= limit);
      }
    }
  }
}

TEST_CASE("The endings add to the output, and gate it") {
  constexpr std::uint32_t out = 32, in = 64, rows = 5;
  const Weight gate(DType::q8_0, out, in), up(DType::q4_1, out, in);
  const auto x = normal_values(rows * in, 2);
  const Kernels& k = *available_kernels().front();
  Crew crew(2);
  auto panels = quantized(k, x, rows, in);
  const auto g = product(k, crew, gate.matrix, panels, rows), u = product(k, crew, up.matrix, panels, rows);
  std::vector<float> sum(rows * out, 1.0F), gated(rows * out);
  const Product add[] = {{&up.matrix, nullptr, nullptr, sum.data(), out, Ending::add}};
  const Product both[] = {{&gate.matrix, &up.matrix, nullptr, gated.data(), out, Ending::gate}};
  crew.run([&](unsigned) {
    multiply(k, crew, add, {{}, {panels.data(), rows, in / 32}});
    crew.meet();
    multiply(k, crew, both, {{}, {panels.data(), rows, in / 32}});
  });
  for (std::size_t i = 0; i < sum.size(); ++i) {
    REQUIRE(sum[i] == 1.0F + u[i]);
    const float want = g[i] / (1.0F + std::exp(-g[i])) * u[i];
    REQUIRE(std::fabs(gated[i] - want) <= 1e-5F * std::fabs(want) + 1e-6F);
  }
}

TEST_CASE("More blocks than a room holds, and more rows than share one, give the bits of the portable kernels") {
  constexpr std::uint32_t out = 16, in = 32 * 71, rows = 150;  // rooms of 64 blocks, groups of 128 rows
  const DType type = GENERATE(DType::q4_1, DType::q5_0, DType::q8_0);
  const Weight w(type, out, in, FloatWeights::repacked);
  const auto bias = normal_values(16, 4), x = normal_values(rows * in, 6);
  Crew crew(2);
  auto plain = quantized(portable_kernels(), x, rows, in);
  const auto want = product(portable_kernels(), crew, w.matrix, plain, rows, bias.data());
  for (const Kernels* k : testing::tables()) {
    CAPTURE(std::string(k->name), to_string(type));
    auto panels = quantized(*k, x, rows, in);
    REQUIRE(same_bits(product(*k, crew, w.matrix, panels, rows, bias.data()), want));
  }
}

TEST_CASE("Gated and fine products have the same bits from every kernel table, 1 to 40 rows") {
  constexpr std::uint32_t out = 32, in = 96;
  const Weight gate(DType::q4_1, out, in), up(DType::q8_0, out, in);
  Crew crew(2);
  for (const std::uint32_t rows : {1U, 8U, 11U, 16U, 21U, 40U}) {
    const auto x = normal_values(rows * in, rows);
    for (const bool fine : {false, true}) {
      std::vector<float> want;
      auto all = testing::tables();
      std::swap(all.front(), *std::find(all.begin(), all.end(), &portable_kernels()));
      for (const Kernels* k : all) {
        CAPTURE(std::string(k->name), rows, fine);
        std::vector<std::uint8_t> data(Panels::bytes(rows, in / 32)), rest(data.size());
        const Panels panels{data.data(), rows, in / 32, rest.data()};
        std::vector<float> left(in), got(std::size_t{rows} * out);
        for (std::uint32_t r = 0; r < rows; ++r) panels.fill(*k, r, x.data() + r * in, left.data());
        const Product p[] = {{&gate.matrix, &up.matrix, nullptr, got.data(), out, Ending::gate, fine}};
        crew.run([&](unsigned) { multiply(*k, crew, p, {{}, panels}); });
        if (want.empty()) want = got;
        REQUIRE(same_bits(got, want));
      }
    }
  }
}

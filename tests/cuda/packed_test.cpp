// Quantised matrices on the host as the kernels read them: values are dequantize()'s to the last bit; products follow
// their rule bit for bit and are near double precision.
#include "cuda/packed.hpp"

#include <frugal/model/tensor.hpp>

#include <array>
#include <cmath>
#include <cstring>

#include "cuda/arrays.hpp"
#include "support/tiny_model.hpp"

namespace frugal::cuda::testing {
namespace {

struct Format {
  DType type;
  Packing packing;
};
constexpr std::array formats{Format{DType::q8_0, Packing::q8_0}, Format{DType::q4_0, Packing::q4_0},
                             Format{DType::q4_1, Packing::q4_1}};

/// A random matrix, packed and expanded.
struct Matrix {
  Matrix(Format f, std::size_t rows, std::size_t cols, std::uint64_t seed)
      : bytes(frugal::testing::random_blocks(f.type, rows * cols, 0.5F, seed)), values(rows * cols) {
    dequantize(f.type, bytes, values);
    const std::size_t blocks = rows * cols / packed_values;
    quants.resize(blocks * quant_bytes(f.packing)), scales.resize(2 * blocks), minimums.resize(2 * blocks);
    repack(f.packing, bytes.data(), blocks, quants.data(), scales.data(), minimums.data());
    packed = {reinterpret_cast<const std::uint8_t*>(quants.data()),
              reinterpret_cast<const Half*>(scales.data()),
              reinterpret_cast<const Half*>(minimums.data()),
              rows,
              static_cast<std::uint32_t>(cols),
              f.packing};
  }
  std::vector<std::byte> bytes, quants, scales, minimums;
  std::vector<float> values;
  PackedMatrix packed;
};

template <class T>
void unpacks(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::size_t rows = any_of(random, 1, 20), cols = 32 * any_of(random, 1, 12), count = any_of(random, 1, 9);
  const Matrix m(formats[seed / 3 % 3], rows, cols, seed);
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < count; ++i) ids.push_back(static_cast<std::int64_t>(any_of(random, 0, rows - 1)));
  const bool whole = seed % 2 == 0;
  std::vector<T> out((whole ? rows : count) * cols);
  const Unpack u{m.packed, whole ? nullptr : ids.data(), out.data(), whole ? rows : count};
  REQUIRE(host_kernels().unpack(u, element_of<T>, nullptr) == 0);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t row = whole ? i / cols : static_cast<std::size_t>(ids[i / cols]);
    REQUIRE(bits_of_element(out[i]) == bits_of_element(rounded<T>(m.values[row * cols + i % cols])));
  }
}

template <class T>
void multiplies(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::size_t features = any_of(random, 1, 30), cols = 32 * any_of(random, 1, 80), rows = 1 + seed % product_rows;
  const Matrix m(formats[seed / 3 % 3], features, cols, seed);
  const std::vector<T> x = random_elements<T>(rows * cols, random);
  std::vector<T> y(rows * features);
  const PackedProduct a{m.packed, x.data(), y.data(), static_cast<std::uint32_t>(rows)};
  REQUIRE(host_kernels().product(a, element_of<T>, nullptr) == 0);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t f = 0; f < features; ++f) {
      std::array<float, 32> lanes{};
      double exact = 0, size = 0;
      for (std::size_t i = 0; i < cols; ++i) {
        const float w = m.values[f * cols + i], v = to_float(x[r * cols + i]);
        float& lane = lanes[i / 32 % 32];
        lane = std::fma(w, v, lane);
        exact += static_cast<double>(w) * static_cast<double>(v);
        size += std::abs(static_cast<double>(w) * static_cast<double>(v));
      }
      for (std::size_t l = 1; l < 32; ++l) lanes[0] += lanes[l];
      REQUIRE(std::abs(static_cast<double>(lanes[0]) - exact) <= 1e-5 * size);
      REQUIRE(bits_of_element(y[r * features + f]) == bits_of_element(rounded<T>(lanes[0])));
    }
  }
}

template <class F>
void over_elements(std::uint64_t count, F f) {
  for (std::uint64_t seed = 0; seed < count; ++seed) {
    CAPTURE(seed);
    if (seed % 3 == 0) f.template operator()<float>(seed);
    if (seed % 3 == 1) f.template operator()<Bf16>(seed);
    if (seed % 3 == 2) f.template operator()<Half>(seed);
  }
}

TEST_CASE("quantised blocks are expanded to the host's values, bit for bit over thousands of shapes") {
  over_elements(3000, []<class T>(std::uint64_t seed) { unpacks<T>(seed); });
}

TEST_CASE("products with quantised matrices follow their rule, bit for bit over thousands of shapes") {
  over_elements(3000, []<class T>(std::uint64_t seed) { multiplies<T>(seed); });
}

TEST_CASE("a row's product does not depend on the rows beside it") {
  const Matrix m(formats[1], 9, 320, 3);
  std::mt19937_64 random(4);
  const std::vector<float> x = random_elements<float>(product_rows * 320, random);
  std::vector<float> all(product_rows * 9);
  host_kernels().product({m.packed, x.data(), all.data(), product_rows}, Element::f32, nullptr);
  for (std::uint32_t rows = 1; rows <= product_rows; ++rows) {
    std::vector<float> some(rows * 9);
    host_kernels().product({m.packed, x.data(), some.data(), rows}, Element::f32, nullptr);
    CHECK(std::equal(some.begin(), some.end(), all.begin()));
  }
}

TEST_CASE("a slice of a quantised matrix is its rows") {
  for (const Format f : formats) {
    const Matrix m(f, 12, 96, 7);
    std::vector<float> out(4 * 96);
    host_kernels().unpack({slice(m.packed, 5, 4), nullptr, out.data(), 4}, Element::f32, nullptr);
    CHECK(std::equal(out.begin(), out.end(), m.values.begin() + 5 * 96));
  }
}

TEST_CASE("rows of a quantised matrix beyond 2^32 bytes are found") {
  constexpr std::uint64_t row = 300000;
  constexpr std::uint32_t cols = 1U << 14;  // 16,384 bytes of quants a row: 4.9 GB before it
  const Matrix m(formats[0], 1, cols, 9);
  PackedMatrix vast{nullptr, nullptr, nullptr, row + 1, cols, Packing::q8_0};
  const Vast quants((row + 1) * cols), scales((row + 1) * vast.row_blocks() * sizeof(Half));
  std::memcpy(quants.as<std::byte>() + row * cols, m.quants.data(), m.quants.size());
  std::memcpy(scales.as<std::byte>() + row * vast.row_blocks() * sizeof(Half), m.scales.data(), m.scales.size());
  vast.quants = quants.as<std::uint8_t>(), vast.scales = scales.as<Half>();
  std::vector<float> out(cols), x(cols, 1.0F), y(row + 1);
  const std::int64_t id = row;
  host_kernels().unpack({vast, &id, out.data(), 1}, Element::f32, nullptr);
  CHECK(out == m.values);
  float sum = 0.0F;
  ProductShared shared;
  const PackedProduct a{vast, x.data(), y.data(), 1};
  packed_product<float, Packing::q8_0, 1>(Block{product_threads}, a, row / product_features, shared);
  host_kernels().product({m.packed, x.data(), &sum, 1}, Element::f32, nullptr);
  CHECK(bits_of(y[row]) == bits_of(sum));
  CHECK(sum != 0.0F);
}

TEST_CASE("expanded matrices beyond 2^32 elements are written in their place") {
  constexpr std::uint64_t rows = 270000;
  constexpr std::uint32_t cols = 1U << 14;  // 4.4e9 elements
  const Matrix m(formats[1], 1, cols, 2);
  std::vector<std::int64_t> ids(rows, 0);
  const Vast out(rows * cols * sizeof(Bf16));
  const Unpack u{m.packed, ids.data(), out.as<Bf16>(), rows};
  const std::uint64_t last = (rows * cols / packed_values - 1) / unpack_threads;
  unpack_blocks<Bf16, Packing::q4_0>(Block{unpack_threads}, u, last);
  CHECK(out.as<Bf16>()[rows * cols - 1].bits == rounded<Bf16>(m.values[cols - 1]).bits);
}

}  // namespace
}  // namespace frugal::cuda::testing

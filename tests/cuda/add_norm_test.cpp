// The sum and norm kernel on the host against its rule written out row by row, bit for bit, and against double precision.
#include "cuda/add_norm.hpp"

#include <cmath>
#include <optional>

#include "cuda/arrays.hpp"

namespace frugal::cuda::testing {
namespace {

/// The rule: sums of every 256th square, then neighbours at half the distance each time.
float rule_of_sums(const std::vector<float>& x) {
  std::vector<float> lanes(256, 0.0F);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float square = x[i] * x[i];
    lanes[i % 256] += square;
  }
  for (; lanes.size() > 1; lanes.resize(lanes.size() / 2))
    for (std::size_t i = 0; i < lanes.size() / 2; ++i) lanes[i] += lanes[i + lanes.size() / 2];
  return lanes[0];
}

template <class T>
void one_shape(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::size_t rows = any_of(random, 1, 5), d = seed % 3 == 0 ? any_of(random, 1, 3000) : any_of(random, 1, 300);
  const bool adds = seed % 4 != 0;
  std::vector<float> x = random_elements<float>(rows * d, random), gain = random_elements<float>(d, random);
  const std::vector<T> y = random_elements<T>(rows * d, random);
  const std::vector<float> before = x;
  std::vector<T> out(rows * d);
  AddNorm a{.x = x.data(), .y = adds ? y.data() : nullptr, .gain = gain.data(), .out = out.data()};
  a.rows = static_cast<std::uint32_t>(rows), a.d = static_cast<std::uint32_t>(d), a.eps = 1e-5F;
  REQUIRE(host_kernels().add_norm(a, element_of<T>, nullptr) == 0);
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<float> row;
    double squares = 0;
    for (std::size_t i = 0; i < d; ++i) {
      row.push_back(adds ? before[r * d + i] + to_float(y[r * d + i]) : before[r * d + i]);
      squares += static_cast<double>(row[i]) * static_cast<double>(row[i]);
    }
    const float scale = 1.0F / std::sqrt(rule_of_sums(row) / static_cast<float>(d) + 1e-5F);
    const double exact = 1.0 / std::sqrt(squares / static_cast<double>(d) + 1e-5);
    REQUIRE(std::abs(static_cast<double>(scale) / exact - 1.0) < 1e-5);
    for (std::size_t i = 0; i < d; ++i) {
      REQUIRE(bits_of(x[r * d + i]) == bits_of(row[i]));
      const float normed = row[i] * scale;
      REQUIRE(bits_of_element(out[r * d + i]) == bits_of_element(rounded<T>(normed * gain[i])));
    }
  }
}

TEST_CASE("the sum and norm kernel follows its rule bit for bit over thousands of shapes") {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    CAPTURE(seed);
    if (seed % 3 == 0) one_shape<float>(seed);
    if (seed % 3 == 1) one_shape<Bf16>(seed);
    if (seed % 3 == 2) one_shape<Half>(seed);
  }
}

TEST_CASE("rows of a residual stream beyond 2^32 bytes are normed in their place") {
  constexpr std::uint32_t d = 1U << 14, row = 70000;  // 4.6 GB of fp32 before it
  const Vast x(std::size_t{row + 1} * d * sizeof(float)), out(std::size_t{row + 1} * d * sizeof(float));
  const std::vector<float> gain(d, 2.0F);
  float* const last = x.as<float>() + std::size_t{row} * d;
  for (std::uint32_t i = 0; i < d; ++i) last[i] = 3.0F;
  AddNorm a{.x = x.as<float>(), .gain = gain.data(), .out = out.as<float>(), .rows = row + 1, .d = d};
  NormShared shared;
  add_norm_row<float>(Block{norm_threads}, a, row, shared);
  CHECK(out.as<float>()[std::size_t{row} * d] == 2.0F);
  CHECK(out.as<float>()[std::size_t{row} * d + d - 1] == 2.0F);
}

}  // namespace
}  // namespace frugal::cuda::testing

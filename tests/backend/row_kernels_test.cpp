#include "backend/row_kernels.hpp"

#include <frugal/backend/sampling.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace frugal::backend {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float log2_e = 0x1.715476p+0F;

using Floats = std::vector<float>;
using Words = std::vector<std::uint64_t>;

/// Lengths around the width of a register and of a block.
const std::vector<std::size_t> lengths{1, 2, 15, 16, 17, 31, 33, 100, 1023, 1024, 1025, 2049, 3000};

Floats random_row(std::size_t n, std::uint32_t seed, bool broken) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 5.0F);
  Floats x(n);
  for (float& v : x) {
    v = normal(random);
    if (random() % 4 == 0) v = std::round(v);  // ties
    if (broken && random() % 9 == 0) v = std::vector<float>{nan, -inf, -0.0F, 3e38F}[random() % 4];
  }
  return x;
}

float max_of(const Floats& x) {
  float m = -inf;
  for (const float v : x)
    if (v > m) m = v;
  return m;
}

/// The rule as row_kernels.hpp states it, one element at a time. `volatile`: nothing is fused or kept in more digits.
std::uint64_t weight_as_stated(float x, WeightScale s) {
  if (x == s.max) return weight_one;
  volatile float d = x - s.max;
  volatile float t = d * s.scale;
  if (!(t > -64.0F)) t = -64.0F;
  const float n = std::nearbyint(t);
  volatile float f = t - n;
  volatile float p = 0x1.5bba14p-10F;
  for (const float c : {0x1.3cea88p-7F, 0x1.c6b752p-5F, 0x1.ebf9bcp-3F, 0x1.62e42ap-1F, 1.0F}) {
    volatile float product = p * f;
    p = product + c;
  }
  return static_cast<std::uint64_t>(std::floor(std::ldexp(static_cast<double>(p), static_cast<int>(n) + 40)));
}

Words weights_of(const RowKernels& k, const Floats& x, WeightScale s) {
  Words w(x.size());
  k.weights(x.data(), x.size(), s, w.data());
  return w;
}

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

TEST_CASE("weights are what the rule states, on every instruction set, one by one and summed") {
  for (const RowKernels* k : available_row_kernels()) {
    CAPTURE(k->name);
    for (const std::size_t n : lengths) {
      for (const bool broken : {false, true}) {
        const Floats x = random_row(n, static_cast<std::uint32_t>(n), broken);
        for (const float temperature : {1.0F, 0.8F, 0.01F, 7.0F, 1e-39F}) {
          const WeightScale s{max_of(x), log2_e / temperature};
          Words want(n);
          std::transform(x.begin(), x.end(), want.begin(), [&](float v) { return weight_as_stated(v, s); });
          REQUIRE(weights_of(*k, x, s) == want);
          REQUIRE(k->weigh(x.data(), n, s) == std::accumulate(want.begin(), want.end(), std::uint64_t{0}));
        }
      }
    }
  }
}

TEST_CASE("weights above limits are those of the tokens at or above them, on every instruction set") {
  for (const RowKernels* k : available_row_kernels()) {
    CAPTURE(k->name);
    for (const std::size_t n : lengths) {
      const Floats x = random_row(n, static_cast<std::uint32_t>(n + 5), true);
      const WeightScale s{max_of(x), log2_e / 1.5F};
      const Floats limits = {s.max, s.max - 1.0F, s.max - 3.0F, -inf};
      const Words w = weights_of(*k, x, s);
      Words got(row_limits + 1), want(row_limits + 1);
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t l = 0; l < row_limits; ++l) want[l] += x[i] >= limits[l] ? w[i] : 0;
        want.back() += w[i];
      }
      k->weigh_above(x.data(), n, s, limits.data(), got.data());
      REQUIRE(got == want);
      for (std::size_t l = 0; l < row_limits; ++l) REQUIRE(k->weigh_from(x.data(), n, s, limits[l]) == want[l]);
    }
  }
}

TEST_CASE("a weight is the exponential to seven digits, and falls with the logit") {
  const RowKernels& k = *available_row_kernels().front();
  Floats x;
  for (int i = 0; i <= 200000; ++i) x.push_back(-0.0001F * static_cast<float>(i));
  const Words w = weights_of(k, x, {0.0F, log2_e});
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    // The product d * scale is rounded once: half an ulp of up to 29 octaves, times ln 2.
    const double relative = 4e-7 + 1.2e-7 * std::abs(static_cast<double>(x[i]));
    REQUIRE(std::abs(static_cast<double>(w[i]) * 0x1p-40 - exact) <= relative * exact + 0x1p-40);
    REQUIRE((i == 0 || w[i] <= w[i - 1]));
  }
}

TEST_CASE("weights are frozen: seeds are public behaviour") {
  const RowKernels& k = *available_row_kernels().front();
  const Floats x{0.0F, -0.125F, -0.5F, -1.0F, -2.0F, -3.25F, -7.0F, -12.5F, -20.0F, -27.7F, -28.5F};
  CHECK(weights_of(k, x, {0.0F, log2_e}) == Words{0x10000000000, 0xe1eb500000, 0x9b45970000, 0x5e2d590000, 0x22a5554000,
                                                  0x9ed1b4000, 0x3bc2d680, 0x3e85db, 0x8da, 1, 0});
  CHECK(weights_of(k, x, {0.0F, log2_e / 0.8F}) == Words{0x10000000000, 0xdaf7e80000, 0x8906e40000, 0x4958608000,
                                                         0x150385e000, 0x4679bf000, 0xa628a20, 0x2bf3f, 15, 0, 0});
}

TEST_CASE("infinities and a row that is all the same weigh as the greatest") {
  for (const RowKernels* k : available_row_kernels()) {
    CAPTURE(k->name);
    CHECK(weights_of(*k, {inf, 3.0F, inf, nan, -inf}, {inf, log2_e}) == Words{weight_one, 0, weight_one, 0, 0});
    CHECK(weights_of(*k, Floats(20, -inf), {-inf, log2_e}) == Words(20, weight_one));
    CHECK(k->weigh(Floats(17, -inf).data(), 17, {-inf, log2_e}) == 17 * weight_one);
    CHECK(weights_of(*k, {3.0F, 2.999F}, {3.0F, inf}) == Words{weight_one, 0});
  }
}

TEST_CASE("peaks are the two greatest of a row and the greatest of every lane, without NaN") {
  for (const RowKernels* k : available_row_kernels()) {
    CAPTURE(k->name);
    for (const std::size_t n : lengths) {
      for (const bool broken : {false, true}) {
        const Floats x = random_row(n, static_cast<std::uint32_t>(n + 7), broken);
        Floats clean = x, lanes((n + row_block - 1) / row_block * row_lanes, 99.0F), want(lanes.size(), -inf);
        for (float& v : clean) v = std::isnan(v) ? -inf : v;
        for (std::size_t i = 0; i < n; ++i) {
          float& lane = want[i / row_block * row_lanes + i % row_lanes];
          lane = std::max(lane, clean[i]);
        }
        const Peaks p = k->peaks(x.data(), n, lanes.data());
        CHECK(lanes == want);
        std::sort(clean.begin(), clean.end(), std::greater<>());
        CHECK(p.first == clean[0]);
        CHECK(p.second == (n > 1 ? clean[1] : -inf));
      }
    }
    const Floats twice{1.0F, 5.0F, 2.0F, 5.0F};
    Floats lanes(row_lanes);
    CHECK(k->peaks(twice.data(), 4, lanes.data()).second == 5.0F);
  }
}

TEST_CASE("gather lists what is in the range in order, with NaN as minus infinity") {
  for (const RowKernels* k : available_row_kernels()) {
    CAPTURE(k->name);
    for (const std::size_t n : lengths) {
      const Floats x = random_row(n, static_cast<std::uint32_t>(n + 3), true);
      for (const LogitRange range : {LogitRange{-inf}, LogitRange{0.0F}, LogitRange{6.0F}, LogitRange{inf},
                                     LogitRange{-inf, 1.0F}, LogitRange{-0.5F, 2.0F}, LogitRange{-inf, -inf}}) {
        std::vector<Token> ids(n + row_lanes), want_ids;
        Floats values(n + row_lanes), want;
        for (std::size_t i = 0; i < n; ++i) {
          const float v = std::isnan(x[i]) ? -inf : x[i];
          if (v >= range.least && !(v >= range.below)) want.push_back(v), want_ids.push_back(static_cast<Token>(i));
        }
        const std::size_t found = k->gather(x.data(), n, range, ids.data(), values.data());
        REQUIRE(found == want.size());
        ids.resize(found), values.resize(found);
        CHECK(ids == want_ids);
        CHECK(same_bits(values, want));
      }
    }
  }
}

TEST_CASE("mask keeps the bits' tokens and may work in place") {
  for (const RowKernels* k : available_row_kernels()) {
    CAPTURE(k->name);
    for (const std::size_t n : lengths) {
      Floats x = random_row(n, static_cast<std::uint32_t>(n), false), want = x;
      std::mt19937 random(4);
      std::vector<std::uint32_t> mask((n + 31) / 32);
      for (auto& word : mask) word = static_cast<std::uint32_t>(random());
      for (std::size_t i = 0; i < n; ++i)
        if ((mask[i / 32] >> i % 32 & 1U) == 0) want[i] = -inf;
      k->mask(x.data(), n, mask.data(), x.data());
      CHECK(same_bits(x, want));
    }
  }
}

TEST_CASE("mass and excess are sums of whole numbers, whatever the floats are") {
  for (const RowKernels* k : available_row_kernels()) {
    CAPTURE(k->name);
    for (const std::size_t n : lengths) {
      std::mt19937 random(static_cast<std::uint32_t>(n));
      std::uniform_real_distribution<float> uniform(-0.1F, 1.2F);
      Floats p(n), q(n);
      for (std::size_t i = 0; i < n; ++i) {
        p[i] = random() % 8 == 0 ? nan : uniform(random) * std::exp2(-static_cast<float>(random() % 50));
        q[i] = random() % 8 == 0 ? 0.0F : uniform(random) * std::exp2(-static_cast<float>(random() % 50));
      }
      std::uint64_t mass = 0, excess = 0;
      const float ratio = 0.97F;
      for (std::size_t i = 0; i < n; ++i) {
        mass += fixed_weight(p[i]);
        volatile float scaled = q[i] * ratio;
        excess += fixed_weight(p[i] - scaled);
      }
      CHECK(k->mass(p.data(), n) == mass);
      CHECK(k->excess(p.data(), q.data(), n, ratio) == excess);
    }
  }
}

TEST_CASE("the high half of a product is exact") {
  __extension__ using Wide = unsigned __int128;
  std::mt19937_64 random(1);
  for (int i = 0; i < 10000; ++i) {
    const std::uint64_t a = random() >> random() % 64, b = random() >> random() % 64;
    REQUIRE(multiply_high(a, b) == static_cast<std::uint64_t>(Wide{a} * b >> 64));
  }
  CHECK(multiply_high(~0ULL, ~0ULL) == ~0ULL - 1);
}

}  // namespace
}  // namespace frugal::backend

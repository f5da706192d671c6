// Experts on the device: the rows that each gets are the ones that choose_experts() gives it, by weights near its own;
// products are each choice's own, bit for bit.
#include "cuda/experts.hpp"

#include <frugal/model/tensor.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "backend/candidates.hpp"
#include "backend/experts.hpp"
#include "cuda/arrays.hpp"
#include "support/tiny_model.hpp"

namespace frugal::cuda::testing {
namespace {

/// A routing and its memory.
struct Routed {
  Routed(std::vector<float> router, std::uint32_t rows, std::uint32_t count, std::uint32_t used, bool renormalise)
      : scores(std::move(router)), chosen(rows * used, ~0U), order(rows * used, ~0U), weights(rows * used, -1.0F) {
    r = {.scores = scores.data(), .rows = rows, .count = count, .used = used, .renormalise = renormalise};
    r.scale = backend::weight_scale(1.0F);
    tiles.resize(expert_tiles(r), {~0U, ~0U, ~0U});
    r.chosen = chosen.data(), r.weights = weights.data(), r.order = order.data(), r.tiles = tiles.data();
    REQUIRE(host_kernels().route(r, nullptr) == 0);
  }
  std::vector<float> scores;
  std::vector<std::uint32_t> chosen, order;
  std::vector<float> weights;
  std::vector<ExpertTile> tiles;
  Route r;
};

void choices_are_the_rules(const Routed& d) {
  const ExpertsSpec spec{.count = d.r.count, .used = d.r.used, .renormalise = d.r.renormalise};
  for (std::uint32_t row = 0; row < d.r.rows; ++row) {
    const auto want = backend::choose_experts(spec, std::span(d.scores).subspan(row * d.r.count, d.r.count));
    for (std::uint32_t k = 0; k < d.r.used; ++k) {
      REQUIRE(d.chosen[row * d.r.used + k] == want[k].expert);
      REQUIRE(std::abs(d.weights[row * d.r.used + k] - want[k].weight) <= 1e-6F);
    }
  }
}

/// Every choice stands in one tile, which is its expert's.
void tiles_hold_every_choice_once(const Routed& d) {
  std::set<std::uint32_t> seen;
  for (const ExpertTile& tile : d.tiles) {
    REQUIRE(tile.count <= product_rows);
    for (std::uint32_t i = 0; i < tile.count; ++i) {
      const std::uint32_t choice = d.order.at(tile.first + i);
      REQUIRE(d.chosen.at(choice) == tile.expert);
      REQUIRE(seen.insert(choice).second);
    }
  }
  REQUIRE(seen.size() == d.chosen.size());
}

Routed any_routing(std::mt19937_64& random, std::size_t most_rows, std::size_t most_count, bool coarse) {
  const auto rows = static_cast<std::uint32_t>(any_of(random, 1, most_rows));
  const auto count = static_cast<std::uint32_t>(any_of(random, 1, most_count));
  const auto used = static_cast<std::uint32_t>(any_of(random, 1, std::min<std::uint32_t>(count, most_used)));
  std::vector<float> scores = random_elements<float>(rows * count, random);
  if (coarse)
    for (float& x : scores) x = std::round(x * 2.0F) / 2.0F;  // many are equal
  return {std::move(scores), rows, count, used, random() % 2 == 0};
}

TEST_CASE("experts chosen on the device are the rule's, ties and all, over thousands of shapes") {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const Routed d =
        any_routing(random, seed % 100 == 0 ? routed_rows : 12, seed % 4 == 0 ? most_experts : 40, seed % 2 == 0);
    choices_are_the_rules(d);
    tiles_hold_every_choice_once(d);
  }
}

TEST_CASE("the most rows, experts and choices that a routing takes fit") {
  std::mt19937_64 random(3);
  Routed d(random_elements<float>(std::size_t{routed_rows} * most_experts, random), routed_rows, most_experts,
           most_used, true);
  tiles_hold_every_choice_once(d);
  Routed one(std::vector<float>(routed_rows * 2, 0.0F), routed_rows, 2, 1, false);  // all want the same
  tiles_hold_every_choice_once(one);
  CHECK(std::all_of(one.chosen.begin(), one.chosen.end(), [](std::uint32_t e) { return e == 0; }));
}

TEST_CASE("scores that are not numbers rank last, and experts stay different ones") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), low = -std::numeric_limits<float>::infinity();
  const Routed d({nan, 1.0F, nan, 0.5F, nan, nan, nan, nan, low, low, low, 3.0F}, 3, 4, 2, true);
  CHECK(d.chosen == std::vector<std::uint32_t>{1, 3, 0, 1, 0, 3});
  CHECK(d.weights[5] == 1.0F);
  tiles_hold_every_choice_once(d);
}

struct Format {
  DType type;
  Packing packing;
};
constexpr std::array formats{Format{DType::q8_0, Packing::q8_0}, Format{DType::q4_0, Packing::q4_0},
                             Format{DType::q4_1, Packing::q4_1}, Format{DType::f32, Packing::plain}};

/// Matrices of experts, as the kernels read them and as values.
template <class T>
struct Experts {
  Experts(Format f, std::size_t rows, std::size_t cols, std::mt19937_64& random) : values(rows * cols) {
    matrix = {.rows = rows, .cols = static_cast<std::uint32_t>(cols), .packing = f.packing};
    if (f.packing == Packing::plain) {
      plain = random_elements<T>(rows * cols, random);
      std::transform(plain.begin(), plain.end(), values.begin(), [](T x) { return to_float(x); });
      matrix.quants = reinterpret_cast<const std::uint8_t*>(plain.data());
      return;
    }
    const auto bytes = frugal::testing::random_blocks(f.type, rows * cols, 0.5F, random());
    dequantize(f.type, bytes, values);
    const std::size_t blocks = rows * cols / packed_values;
    quants.resize(blocks * quant_bytes(f.packing)), scales.resize(2 * blocks), minimums.resize(2 * blocks);
    repack(f.packing, bytes.data(), blocks, quants.data(), scales.data(), minimums.data());
    matrix.quants = reinterpret_cast<const std::uint8_t*>(quants.data());
    matrix.scales = reinterpret_cast<const Half*>(scales.data());
    matrix.minimums = reinterpret_cast<const Half*>(minimums.data());
  }
  std::vector<T> plain;
  std::vector<std::byte> quants, scales, minimums;
  std::vector<float> values;
  PackedMatrix matrix;
};

/// The rule: 32 lanes take units by turns.
template <class T>
float product_by_rule(const float* w, const T* x, std::size_t cols, std::size_t unit) {
  std::array<float, 32> lanes{};
  for (std::size_t i = 0; i < cols; ++i) {
    float& lane = lanes[i / unit % 32];
    lane = std::fma(w[i], to_float(x[i]), lane);
  }
  for (std::size_t l = 1; l < 32; ++l) lanes[0] += lanes[l];
  return lanes[0];
}

template <class T>
void multiplies(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const Format f = formats[seed / 3 % 4];
  const bool plain = f.packing == Packing::plain, shared = seed % 2 == 0;
  Routed d = any_routing(random, 12, 20, true);
  const std::size_t features = any_of(random, 1, 9), unit = plain ? 8 : 32,
                    cols = unit * any_of(random, 1, plain ? 40 : 5);
  const Experts<T> w(f, features * d.r.count, cols, random);
  const std::vector<T> x = random_elements<T>((shared ? d.r.rows : d.chosen.size()) * cols, random);
  std::vector<T> y(d.chosen.size() * features);
  ExpertProduct a{.matrix = w.matrix, .features = features, .x = x.data(), .y = y.data()};
  a.shared_by = shared ? d.r.used : 1, a.tiles = d.tiles.data(), a.order = d.order.data();
  a.tile_count = static_cast<std::uint32_t>(d.tiles.size()), a.most_rows = d.r.rows;
  REQUIRE(host_kernels().expert_product(a, element_of<T>, nullptr) == 0);
  for (std::size_t c = 0; c < d.chosen.size(); ++c) {
    for (std::size_t i = 0; i < features; ++i) {
      const float want =
          product_by_rule(&w.values[(d.chosen[c] * features + i) * cols], &x[c / a.shared_by * cols], cols, unit);
      REQUIRE(bits_of_element(y[c * features + i]) == bits_of_element(rounded<T>(want)));
    }
  }
}

TEST_CASE("products with experts follow their rule, bit for bit over thousands of shapes") {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    CAPTURE(seed);
    if (seed % 3 == 0) multiplies<float>(seed);
    if (seed % 3 == 1) multiplies<Bf16>(seed);
    if (seed % 3 == 2) multiplies<Half>(seed);
  }
}

TEST_CASE("experts beyond 2^32 bytes are found") {
  constexpr std::uint64_t features = 1U << 14, experts = 20;
  constexpr std::uint32_t cols = 1U << 13;  // 268 MB an expert: 5.1 GB before the last
  const Vast matrix(experts * features * cols * sizeof(Bf16));
  std::mt19937_64 random(5);
  const std::vector<Bf16> w = random_elements<Bf16>(cols, random), x = random_elements<Bf16>(cols, random);
  std::memcpy(matrix.as<Bf16>() + (experts * features - 1) * cols, w.data(), cols * sizeof(Bf16));
  std::vector<Bf16> y(features);
  const ExpertTile tile{experts - 1, 0, 1};
  const std::uint32_t order = 0;
  ExpertProduct a{.matrix = {.quants = matrix.as<std::uint8_t>(), .rows = experts * features, .cols = cols}};
  a.features = features, a.x = x.data(), a.y = y.data(), a.tiles = &tile, a.order = &order, a.tile_count = 1;
  a.matrix.packing = Packing::plain;
  ExpertShared shared;
  expert_product<Bf16, packed::Plain<Bf16>, 1>(Block{product_threads}, a, (features - 1) / product_features, 0, shared);
  std::vector<float> values(cols);
  std::transform(w.begin(), w.end(), values.begin(), [](Bf16 v) { return to_float(v); });
  CHECK(y.back().bits == rounded<Bf16>(product_by_rule(values.data(), x.data(), cols, 8)).bits);
  CHECK(y.back().bits != 0);
}

}  // namespace
}  // namespace frugal::cuda::testing

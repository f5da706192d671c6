// The device's draw on the host, thread after thread, against the host's own: the same tokens
// and scores, draw for draw.
#include "cuda/judge.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "backend/draw_cases.hpp"
#include "backend/drawer.hpp"
#include "cuda/drawn_here.hpp"

namespace frugal::cuda {
namespace {

using testing::DrawCase;
using testing::random_draw_case;

TEST_CASE("a block draws and scores what the host does, whatever its number of threads") {
  backend::Drawer drawer;
  int drawn = 0, greedy = 0, scored = 0;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    CAPTURE(seed);
    DrawCase c = random_draw_case(seed);
    if (seed % 9 == 0) c.sampling.temperature = 0.0F, ++greedy;
    DrawSpec spec = c.spec();
    spec.scores = seed % 2 == 0;
    const TokenScore got = drawn_here(c, spec, threads_of(seed)), want = drawer.draw(c.logits, spec);
    REQUIRE(got.token == want.token);
    REQUIRE(same(got.logprob, want.logprob));
    REQUIRE(same(got.margin, want.margin));
    drawn += got.token >= 0 ? 1 : 0;
    scored += want.logprob != 0.0F ? 1 : 0;
  }
  CHECK(drawn > 5000);
  CHECK(greedy > 600);
  CHECK(scored > 2000);
}

TEST_CASE("a block draws and scores wide and flat rows as the host does") {
  backend::Drawer drawer;
  std::mt19937_64 random(5);
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    DrawCase c;
    c.seed = seed;
    c.logits.resize(100000 + random() % 60000);
    std::normal_distribution<float> normal(0.0F, seed % 2 == 0 ? 0.4F : 3.0F);
    for (float& x : c.logits) x = seed % 5 == 0 ? std::round(normal(random)) : normal(random);
    c.sampling.temperature = std::array<float, 3>{0.7F, 1.5F, 4.0F}[seed % 3];
    if (seed % 4 != 0) c.sampling.top_p = 0.95F;
    if (seed % 4 == 2) c.sampling.top_k = 5000;
    DrawSpec spec = c.spec();
    spec.scores = true;
    const TokenScore got = drawn_here(c, spec, draw_threads);
    const TokenScore want = drawer.draw(c.logits, spec);
    REQUIRE(got.token == want.token);
    REQUIRE(same(got.logprob, want.logprob));
    REQUIRE(same(got.margin, want.margin));
  }
}

TEST_CASE("weights on a device are the host's to the last bit") {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0F, 20.0F);
  std::vector<float> x(20000);
  for (float& v : x) v = std::min(normal(random), 60.0F);
  for (const float temperature : {0.01F, 0.8F, 1.0F, 7.0F}) {
    const backend::WeightScale scale{60.0F, 0x1.715476p+0F / temperature};
    std::vector<std::uint64_t> w(x.size());
    backend::portable_row_kernels().weights(x.data(), x.size(), scale, w.data());
    for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(draw::weight_of(x[i], scale.max, scale.scale) == w[i]);
  }
}

}  // namespace
}  // namespace frugal::cuda

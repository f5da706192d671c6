// Judging drafts, distributions and lists as a device makes them, on the host, against the host's own: the same bits.
#include "cuda/judge.hpp"

#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "backend/draw_cases.hpp"
#include "backend/drawer.hpp"
#include "cuda/drawn_here.hpp"

namespace frugal::cuda {
namespace {

using testing::DrawCase;
using testing::random_draw_case;

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

/// A distribution of a draft model over the row of `c`: near the target's, far from it, one token, or the target's own;
/// and a token drawn from it.
struct Draft {
  std::vector<float> q;
  Token token = -1;
};

Draft random_draft(const DrawCase& c, backend::Drawer& drawer, std::mt19937_64& random) {
  DrawCase other = c;
  if (random() % 4 != 0) {  // where it does not hold, q = p
    std::normal_distribution<float> noise(0.0F, random() % 2 == 0 ? 0.3F : 4.0F);
    for (float& x : other.logits) x += noise(random);
  }
  if (random() % 5 == 0) other.sampling.temperature = 0.0F;
  if (random() % 4 == 0) other.mask.clear();
  Draft draft;
  DrawSpec spec = other.spec();
  spec.purpose = DrawPurpose::draft, spec.distribution = &draft.q;
  draft.token = drawer.draw(other.logits, spec).token;
  return draft;
}

TEST_CASE("a block judges drafts that were drawn at random as the host does, and gives the same distribution") {
  backend::Drawer drawer;
  int accepted = 0, fallen = 0, greedy = 0, none = 0;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    CAPTURE(seed);
    DrawCase c = random_draw_case(seed);
    if (seed % 7 == 0) c.sampling.temperature = 0.0F, ++greedy;
    std::mt19937_64 random(seed + 1);
    const Draft draft = random_draft(c, drawer, random);
    if (draft.token < 0) continue;
    std::vector<float> p_here, p_host;
    DrawSpec spec = c.spec();
    spec.draft_distribution = draft.q, spec.drafted = draft.token, spec.scores = seed % 3 == 0;
    spec.distribution = seed % 2 == 0 ? &p_here : nullptr;
    const TokenScore got = drawn_here(c, spec, threads_of(seed));
    spec.distribution = seed % 2 == 0 ? &p_host : nullptr;
    const TokenScore want = drawer.draw(c.logits, spec);
    REQUIRE(got.token == want.token);
    REQUIRE(bits_of(got.logprob) == bits_of(want.logprob));
    REQUIRE(same_bits(p_here, p_host));
    accepted += got.token == draft.token ? 1 : 0;
    fallen += got.token >= 0 && got.token != draft.token ? 1 : 0;
    none += got.token < 0 ? 1 : 0;
  }
  CHECK(accepted > 1500);
  CHECK(fallen > 1000);
  CHECK(greedy > 800);
  CHECK(none > 10);
}

TEST_CASE("a draft that has fallen where nothing is in excess is replaced as the host does") {
  backend::Drawer drawer;
  for (const std::vector<float>& q : {std::vector<float>{0.5F, 0.5F}, {0.75F, 0.5F}, {1.0F, 1.0F}}) {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      DrawCase c;
      c.logits = {1.0F, 1.0F}, c.seed = seed, c.sampling.temperature = 1.0F;
      DrawSpec spec = c.spec();
      spec.draft_distribution = q, spec.drafted = static_cast<Token>(seed % 2);
      REQUIRE(drawn_here(c, spec, 32).token == drawer.draw(c.logits, spec).token);
    }
  }
}

TEST_CASE("a block lists the most likely tokens as the host does") {
  backend::Drawer drawer;
  int listed = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    CAPTURE(seed);
    const DrawCase c = random_draw_case(seed);
    DrawSpec spec = c.spec();
    std::vector<float> p_here, p_host;
    spec.top_logprobs = static_cast<std::uint32_t>(seed % 5 == 0 ? c.logits.size() + 3 : 1 + seed % 20);
    spec.scores = seed % 2 == 0, spec.distribution = &p_here;
    const TokenScore got = drawn_here(c, spec, threads_of(seed));
    spec.distribution = &p_host;
    const TokenScore want = drawer.draw(c.logits, spec);
    REQUIRE(got.token == want.token);
    REQUIRE(got.top.size() == want.top.size());
    for (std::size_t i = 0; i < got.top.size(); ++i) {
      REQUIRE(got.top[i].token == want.top[i].token);
      REQUIRE(same(got.top[i].logprob, want.top[i].logprob));
    }
    REQUIRE(same(got.margin, want.margin));
    REQUIRE(same_bits(p_here, p_host));
    listed += static_cast<int>(got.top.size());
  }
  CHECK(listed > 50000);
}

TEST_CASE("a row without tokens draws none: what pads a step") {
  const DrawRow row{};
  const auto shared = std::make_unique<DrawShared>();
  CHECK(drawn_from(Block{64}, row, *shared).token == -1);
}

TEST_CASE("a draw without settings is refused before it goes to a device") {
  CHECK_THROWS_AS(prepare(DrawSpec{}, 10), Error);
}

}  // namespace
}  // namespace frugal::cuda

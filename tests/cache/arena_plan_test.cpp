#include <frugal/cache/arena.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <functional>
#include <optional>
#include <random>
#include <vector>

namespace frugal {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
using Bytes = std::vector<std::size_t>;
using PageTokens = std::vector<std::uint32_t>;

std::optional<Errc> code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.code();
  }
  return std::nullopt;
}

TEST_CASE("known pairs of models get the extents that were worked out by hand") {
  const ArenaPlan llama = plan_arena(4096 * mib, Bytes{131072, 32768});  // 8B and 1B, bf16
  CHECK(llama.extent_bytes == 2 * mib);
  CHECK(llama.models[0].page_tokens == 16);
  CHECK(llama.models[0].pages_per_extent == 1);
  CHECK(llama.models[1].pages_per_extent == 4);
  CHECK(llama.waste == 0.0);

  const ArenaPlan qwen = plan_arena(4096 * mib, Bytes{57344, 12288});  // 7B and 0.5B
  CHECK(qwen.extent_bytes == 4 * mib);
  CHECK(qwen.models[0].page_tokens == 8);
  CHECK(qwen.models[0].pages_per_extent == 9);
  CHECK(qwen.models[1].page_tokens == 16);
  CHECK(qwen.models[1].pages_per_extent == 21);
  CHECK(qwen.waste == Catch::Approx(0.015625));
  CHECK(qwen.block_tokens() == 16);

  const ArenaPlan smol = plan_arena(4096 * mib, Bytes{196608, 23040});  // 1.7B and 135M
  CHECK(smol.extent_bytes == 6 * mib);
  CHECK(smol.models[0].pages_per_extent == 2);
  CHECK(smol.models[1].pages_per_extent == 17);
  CHECK(smol.waste < 0.005);
}

TEST_CASE("a small arena gets small extents, and several for every model") {
  const ArenaPlan plan = plan_arena(1 * mib, Bytes{512, 768});
  CHECK(plan.extent_bytes < 2 * mib);
  CHECK(plan.extent_bytes % Arena::granule_bytes == 0);
  CHECK(1 * mib / plan.extent_bytes >= 8);
  CHECK(plan.waste <= 0.02);
  const ArenaPlan least = plan_arena(2 * Arena::granule_bytes, Bytes{256, 256});
  CHECK(least.extent_bytes == Arena::granule_bytes);
}

TEST_CASE("page_tokens can be fixed for all models or for each") {
  const ArenaPlan all = plan_arena(1 * mib, Bytes{1024, 2048}, PageTokens{4});
  CHECK(all.models[0].page_tokens == 4);
  CHECK(all.models[1].page_tokens == 4);
  const ArenaPlan each = plan_arena(1 * mib, Bytes{1024, 2048}, PageTokens{0, 2});
  CHECK(each.models[0].page_tokens == 8);  // as much as the smallest extent holds
  CHECK(each.models[1].page_tokens == 2);
  CHECK(each.models[1].page_bytes == Arena::granule_bytes);
}

TEST_CASE("what cannot be planned is refused by code") {
  CHECK(code_of([] { plan_arena(mib, Bytes{}); }) == Errc::invalid_argument);
  CHECK(code_of([] { plan_arena(mib, Bytes{0}); }) == Errc::invalid_argument);
  CHECK(code_of([] { plan_arena(mib, Bytes{64}, PageTokens{3}); }) == Errc::invalid_argument);
  CHECK(code_of([] { plan_arena(mib, Bytes{64, 64}, PageTokens{4, 4, 4}); }) == Errc::invalid_argument);
  CHECK(code_of([] { plan_arena(0, Bytes{64}); }) == Errc::too_large);
  CHECK(code_of([] { plan_arena(4095, Bytes{64}); }) == Errc::too_large);
  CHECK(code_of([] { plan_arena(mib, Bytes{131072, 131072}); }) == Errc::too_large);  // a page of 8 tokens is 1 MiB
  CHECK(code_of([] { plan_arena(2 * mib, Bytes{131072, 131072}); }) == std::nullopt);
  CHECK(code_of([] { plan_arena(~std::size_t{0}, Bytes{64}); }) == Errc::too_large);
  CHECK(code_of([] { plan_arena(mib, Bytes{~std::size_t{0}}); }) == Errc::too_large);
}

TEST_CASE("every plan fits its arena, and says its true waste") {
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    Bytes kv(1 + random() % 3);
    for (std::size_t& bytes : kv) bytes = 64 * (1 + random() % 3000);
    const std::size_t bytes = (std::size_t{1} << (22 + random() % 10)) + random() % 5000;
    INFO("arena of " << bytes << ", first model " << kv[0]);
    ArenaPlan plan;
    if (const auto code = code_of([&] { plan = plan_arena(bytes, kv); })) {
      CHECK(*code == Errc::too_large);
      continue;
    }
    double waste = 0;
    for (std::size_t m = 0; m < kv.size(); ++m) {
      const PagePlan& page = plan.models[m];
      REQUIRE(page.page_bytes % Arena::granule_bytes == 0);
      REQUIRE(page.page_bytes >= page.page_tokens * kv[m]);
      REQUIRE(page.page_bytes < page.page_tokens * kv[m] + Arena::granule_bytes);
      REQUIRE(page.pages_per_extent == plan.extent_bytes / page.page_bytes);
      const double used = static_cast<double>(page.pages_per_extent * page.page_tokens * kv[m]);
      waste = std::max(waste, 1 - used / static_cast<double>(plan.extent_bytes));
    }
    REQUIRE(plan.waste == Catch::Approx(waste).margin(1e-12));
    REQUIRE(bytes / plan.extent_bytes >= kv.size());
    REQUIRE_NOTHROW(Arena(bytes, plan).check_integrity());
  }
}

}  // namespace
}  // namespace frugal

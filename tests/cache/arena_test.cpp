#include <frugal/cache/arena.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <random>
#include <set>
#include <vector>

namespace frugal {
namespace {

constexpr std::size_t granule = Arena::granule_bytes;
constexpr ModelId a{0}, b{1};

// Extents of 6 granules: 6 pages of model a, or 2 pages of model b.
ArenaPlan two_models() {
  return {.extent_bytes = 6 * granule, .models = {{4, granule, 6}, {8, 3 * granule, 2}}, .waste = 0};
}

TEST_CASE("a grant is all or nothing") {
  Arena arena(4 * 6 * granule, two_models());
  std::vector<Granule> pages{-1};
  CHECK(arena.grantable(a) == 24);
  CHECK_FALSE(arena.grant(a, 25, pages));
  CHECK(pages == std::vector<Granule>{-1});
  CHECK(arena.grant(a, 24, pages));
  CHECK(pages.size() == 25);
  CHECK(arena.grantable(a) == 0);
  CHECK(arena.grantable(b) == 0);
  CHECK(arena.grant(b, 0, pages));
  arena.check_integrity();
}

TEST_CASE("an extent serves one model at a time and moves on when it is empty") {
  Arena arena(2 * 6 * granule, two_models());
  std::vector<Granule> first, pages;
  REQUIRE(arena.grant(b, 2, first));
  REQUIRE(arena.grant(a, 1, pages));
  CHECK(arena.grantable(a) == 5);
  CHECK(arena.grantable(b) == 0);
  arena.release(a, pages[0]);
  CHECK(arena.grantable(b) == 2);
  pages.clear();
  REQUIRE(arena.grant(b, 2, pages));
  CHECK(pages == std::vector<Granule>{6, 9});
  CHECK(arena.grantable(a) == 0);
  CHECK(arena.references(a, 6) == 0);
  CHECK(arena.references(b, 6) == 1);
  arena.check_integrity();
}

TEST_CASE("bytes add up to the arena, the uncovered rest included") {
  Arena arena(2 * 7 * granule + 100, {.extent_bytes = 7 * granule, .models = {{4, granule, 7}, {8, 3 * granule, 2}}});
  std::vector<Granule> pages;
  REQUIRE(arena.grant(b, 1, pages));
  REQUIRE(arena.grant(b, 1, pages));
  arena.retain_cached(b, pages[1]);
  arena.release(b, pages[1]);
  const ArenaStats stats = arena.stats();
  CHECK(stats.leased_bytes == 3 * granule);
  CHECK(stats.indexed_bytes == 3 * granule);
  CHECK(stats.free_bytes == 7 * granule);
  CHECK(stats.waste_bytes == granule + 100);
  CHECK(stats.total_bytes == 14 * granule + 100);
}

TEST_CASE("the cache's reference is counted apart, so idle pages are known") {
  Arena arena(2 * 6 * granule, two_models());
  std::vector<Granule> pages;
  REQUIRE(arena.grant(a, 2, pages));
  arena.retain_cached(a, pages[0]);
  CHECK(arena.references(a, pages[0]) == 2);
  CHECK_FALSE(arena.idle(a, pages[0]));
  arena.release(a, pages[0]);
  CHECK(arena.idle(a, pages[0]));
  CHECK_FALSE(arena.extent_idle(a, pages[0]));
  CHECK(arena.grantable_after_eviction(a) == arena.grantable(a) + 1);
  CHECK(arena.grantable_after_eviction(b) == 2);
  arena.release(a, pages[1]);
  CHECK(arena.extent_idle(a, pages[0]));
  CHECK(arena.grantable_after_eviction(b) == 4);
  arena.release_cached(a, pages[0]);
  CHECK(arena.grantable(b) == 4);
  arena.check_integrity();
}

TEST_CASE("misuse is refused before anything moves") {
  Arena arena(2 * 6 * granule, two_models());
  std::vector<Granule> pages;
  REQUIRE(arena.grant(a, 1, pages));
  CHECK_THROWS_AS(arena.retain(a, 1), Error);
  CHECK_THROWS_AS(arena.retain(a, -1), Error);
  CHECK_THROWS_AS(arena.retain(a, 1000), Error);
  CHECK_THROWS_AS(arena.retain(b, pages[0]), Error);
  CHECK_THROWS_AS(arena.retain_cached(a, 1), Error);
  CHECK(arena.references(a, pages[0]) == 1);
  arena.check_integrity();
  CHECK_THROWS_AS(Arena(granule, two_models()), Error);
  CHECK_THROWS_AS(Arena(100 * granule, ArenaPlan{}), Error);
}

#if !defined(FRUGAL_DEBUG_ASSERTS)
TEST_CASE("releasing what is not held changes nothing") {
  Arena arena(2 * 6 * granule, two_models());
  std::vector<Granule> pages;
  REQUIRE(arena.grant(a, 1, pages));
  arena.release_cached(a, pages[0]);  // the cache does not hold it
  arena.release(a, 5);
  CHECK(arena.references(a, pages[0]) == 1);
  arena.retain_cached(a, pages[0]);
  arena.release(a, pages[0]);
  arena.release(a, pages[0]);  // the last reference is the cache's
  CHECK(arena.idle(a, pages[0]));
  arena.check_integrity();
}
#endif

// The obvious twin: a map of held pages, everything else counted anew.
struct Twin {
  struct Held {
    std::size_t references = 0;
    std::size_t cached = 0;
  };
  std::map<std::pair<std::uint32_t, Granule>, Held> held{};

  static std::size_t extent(Granule page) { return static_cast<std::size_t>(page) / 6; }
  std::size_t grantable(ModelId model, std::size_t extents, std::size_t per_extent) const {
    std::set<std::size_t> taken;
    std::size_t pages = extents * per_extent;
    for (const auto& [key, value] : held) {
      if (key.first == model.value)
        --pages;
      else if (taken.insert(extent(key.second)).second)
        pages -= per_extent;
    }
    return pages;
  }
};

TEST_CASE("20,000 random operations on two models of different shapes agree with a twin") {
  constexpr std::size_t extents = 12;
  Arena arena(extents * 6 * granule, two_models());
  Twin twin;
  std::mt19937 random(11);
  const auto pick = [&] {
    return std::next(twin.held.begin(), static_cast<std::ptrdiff_t>(random() % twin.held.size()));
  };
  for (int step = 0; step < 20000; ++step) {
    const ModelId model(static_cast<std::uint32_t>(random() % 2));
    const unsigned what = static_cast<unsigned>(random() % 10);
    if (what < 3 || twin.held.empty()) {
      std::vector<Granule> pages;
      const std::size_t n = random() % 4, can = arena.grantable(model);
      REQUIRE(arena.grant(model, n, pages) == (n <= can));
      REQUIRE(pages.size() == (n <= can ? n : 0));
      for (Granule page : pages) REQUIRE(twin.held.try_emplace({model.value, page}, Twin::Held{1, 0}).second);
    } else {
      const auto it = pick();
      const ModelId owner(it->first.first);
      const Granule page = it->first.second;
      Twin::Held& held = it->second;
      if (what < 5) {
        arena.retain(owner, page), ++held.references;
      } else if (what == 5) {
        arena.retain_cached(owner, page), ++held.references, ++held.cached;
      } else if (held.cached != 0 && (what < 8 || held.references == held.cached)) {
        arena.release_cached(owner, page), --held.references, --held.cached;
      } else {
        arena.release(owner, page), --held.references;
      }
      REQUIRE(arena.cached_references(owner, page) == held.cached);
      REQUIRE(arena.references(owner, page) == held.references);
      REQUIRE(arena.idle(owner, page) == (held.references != 0 && held.references == held.cached));
      if (held.references == 0) twin.held.erase(it);
    }
    REQUIRE(arena.grantable(a) == twin.grantable(a, extents, 6));
    REQUIRE(arena.grantable(b) == twin.grantable(b, extents, 2));
    const ArenaStats s = arena.stats();
    REQUIRE(s.free_bytes + s.leased_bytes + s.indexed_bytes + s.waste_bytes == s.total_bytes);
    REQUIRE_NOTHROW(arena.check_integrity());
  }
  CHECK(twin.held.size() > 0);
}

TEST_CASE("granules beyond 2^31 bytes are named without overflow") {
  const ArenaPlan plan = plan_arena(std::size_t{1} << 37, std::vector<std::size_t>{131072});
  Arena arena(std::size_t{1} << 37, plan);
  std::vector<Granule> pages;
  REQUIRE(arena.grant(a, arena.grantable(a), pages));
  CHECK(pages.size() == 65536);
  CHECK(static_cast<std::size_t>(pages.back()) * granule == (std::size_t{1} << 37) - (std::size_t{1} << 21));
  for (Granule page : pages) arena.release(a, page);
  arena.check_integrity();
}

}  // namespace
}  // namespace frugal

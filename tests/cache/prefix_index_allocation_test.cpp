// Whichever allocation fails inside the prefix index, the index stays whole and serves on.
#include <catch2/catch_test_macros.hpp>

#include <array>
#include <new>
#include <optional>
#include <vector>

#include <frugal/cache/arena.hpp>
#include <frugal/cache/page_table.hpp>
#include <frugal/cache/prefix_index.hpp>

#include "support/failing_allocations.hpp"
#include "support/manual_clock.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

constexpr ModelId model{0};

std::vector<Token> prompt(std::size_t shared, Token own, std::size_t length = 24) {
  std::vector<Token> tokens(length, own);
  for (std::size_t i = 0; i < shared; ++i) tokens[i] = static_cast<Token>(100 + i);
  return tokens;
}

/// An index over pages of 4 tokens.
struct World {
  World() : arena(256 * 4096, plan_arena(256 * 4096, per_token, std::span(&page_tokens, 1))), index(arena, {}, clock) {}
  std::vector<Granule> pages_for(std::size_t tokens) {
    tables.emplace_back(arena, model);
    REQUIRE(tables.back().grow_to(tokens));
    return {tables.back().pages().begin(), tables.back().pages().end()};
  }
  std::array<std::size_t, 1> per_token{1024};
  std::uint32_t page_tokens = 4;
  ManualClock clock;
  Arena arena;
  PrefixIndex index;
  std::vector<PageTable> tables;
};

}  // namespace

TEST_CASE(
    "whichever allocation of an insert fails, with a new space, a split, a longer edge or a sibling, the index stays "
    "whole") {
  std::int64_t failures = 0;
  for (std::int64_t n = 0;; ++n) {
    INFO("allocation " << n);
    World world;
    const std::vector<std::vector<Token>> prompts = {prompt(24, 0), prompt(12, 1), prompt(12, 2), prompt(24, 0, 40),
                                                     prompt(8, 3)};
    std::vector<std::vector<Granule>> pages;
    for (const auto& p : prompts) pages.push_back(world.pages_for(p.size()));
    pages.push_back(world.pages_for(prompts[1].size()));
    const PrefixSpace first{1, {}}, second{2, "a tenant whose name does not fit into the string object itself"};
    bool failed = false;
    {
      const FailingAllocation failing(n);
      const auto insert = [&](const PrefixSpace& space, const std::vector<Token>& tokens,
                              const std::vector<Granule>& held) {
        try {
          world.index.insert(space, model, tokens, held, 1.0);
        } catch (const std::bad_alloc&) {
          ++failures;
        }
      };
      for (std::size_t i = 0; i < prompts.size(); ++i) insert(first, prompts[i], pages[i]);
      insert(second, prompts[1], pages.back());
      failed = failing.failed();
    }
    world.index.check_integrity();
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const std::vector<Granule> again = world.pages_for(prompts[i].size());
      world.index.insert(first, model, prompts[i], again, 1.0);
      CHECK(world.index.longest(first, model, prompts[i]) == prompts[i].size());
    }
    world.index.check_integrity();
    world.tables.clear();
    world.index.clear();
    CHECK(world.arena.stats().free_bytes + world.arena.stats().waste_bytes == world.arena.stats().total_bytes);
    if (!failed) break;
  }
  CHECK(failures > 20);
}

TEST_CASE("whichever allocation of a match or an eviction fails, the index stays whole") {
  for (std::int64_t n = 0;; ++n) {
    INFO("allocation " << n);
    World world;
    const PrefixSpace space{1, {}};
    for (Token own = 0; own < 6; ++own) {
      const std::vector<Token> tokens = prompt(own % 2 == 0 ? 12 : 8, own);
      world.index.insert(space, model, tokens, world.pages_for(tokens.size()), 1.0);
    }
    world.tables.clear();
    bool failed = false;
    {
      const FailingAllocation failing(n);
      for (Token own = 0; own < 6; ++own) {
        try {
          const Lease lease = world.index.match(space, model, prompt(own % 2 == 0 ? 12 : 8, own));
          world.index.make_room(model, world.arena.grantable(model) + 2);
        } catch (const std::bad_alloc&) {
        }
      }
      failed = failing.failed();
    }
    world.index.check_integrity();
    world.index.clear();
    CHECK(world.arena.stats().free_bytes + world.arena.stats().waste_bytes == world.arena.stats().total_bytes);
    if (!failed) break;
  }
}

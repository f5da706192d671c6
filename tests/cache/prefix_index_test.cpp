#include <frugal/cache/page_table.hpp>
#include <frugal/cache/prefix_index.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "support/manual_clock.hpp"

namespace frugal {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t granule = Arena::granule_bytes;
constexpr ModelId a{0}, b{1};
using Tokens = std::vector<Token>;

// Model a: pages of 4 tokens, 6 an extent. Model b: pages of 8, 2 an extent. Blocks of 8.
struct House {
  explicit House(std::size_t extents = 16, PrefixIndex::Worth worth = {})
      : arena(extents * 6 * granule,
              {.extent_bytes = 6 * granule, .models = {{4, granule, 6}, {8, 3 * granule, 2}}, .waste = 0}),
        index(arena, std::move(worth), clock) {}

  /// Computes a prompt, indexes it, and returns the pages, which then only the index holds.
  std::vector<Granule> teach(ModelId model, const Tokens& tokens, double seconds = 0, Duration keep = Duration::max()) {
    PageTable table(arena, model);
    REQUIRE(table.grow_to(tokens.size()));
    const std::vector<Granule> pages(table.pages().begin(), table.pages().end());
    index.insert(space, model, tokens, table.pages(), seconds, keep);
    index.check_integrity();
    return pages;
  }
  std::size_t longest(ModelId model, const Tokens& tokens) const { return index.longest(space, model, tokens); }

  testing::ManualClock clock{};
  Arena arena;
  PrefixIndex index;
  PrefixSpace space{1, "tenant"};
};

Tokens count_from(Token first, std::size_t n) {
  Tokens tokens(n);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

Tokens operator+(Tokens head, const Tokens& rest) {
  head.insert(head.end(), rest.begin(), rest.end());
  return head;
}

TEST_CASE("a prompt computed once is found again, whole blocks of it") {
  House house;
  const Tokens prompt = count_from(0, 27);
  const std::vector<Granule> pages = house.teach(a, prompt);
  const Lease lease = house.index.match(house.space, a, prompt);
  CHECK(lease.tokens() == 24);
  CHECK(std::vector<Granule>(lease.pages().begin(), lease.pages().end()) ==
        std::vector<Granule>(pages.begin(), pages.begin() + 6));
  CHECK_FALSE(lease.tail_page());
  CHECK(house.arena.stats(a).leased_pages == 6);
  CHECK(house.arena.stats(a).cached_pages == 6);
}

TEST_CASE("a prompt that ends or differs inside a page gets that page to copy from") {
  House house;
  const std::vector<Granule> pages = house.teach(a, count_from(0, 24));
  const Lease shorter = house.index.match(house.space, a, count_from(0, 15));
  CHECK(shorter.tokens() == 15);
  CHECK(shorter.pages().size() == 3);
  CHECK(shorter.tail_page() == pages[3]);
  CHECK(shorter.tail_tokens() == 3);
  const Lease differs = house.index.match(house.space, a, count_from(0, 18) + Tokens{99, 99});
  CHECK(differs.tokens() == 18);
  CHECK(differs.tail_page() == pages[4]);
  CHECK(differs.tail_tokens() == 2);
  const Lease at_once = house.index.match(house.space, a, Tokens{0, 1, 99});
  CHECK(at_once.tokens() == 2);
  CHECK(at_once.pages().empty());
}

TEST_CASE("tokens decide: one other token ends the match where it stands") {
  House house;
  const Tokens prompt = count_from(0, 32);
  house.teach(a, prompt);
  for (std::size_t at = 0; at < prompt.size(); ++at) {
    Tokens other = prompt;
    other[at] = 1000;
    CHECK(house.longest(a, other) == at);
  }
}

TEST_CASE("hits are per model: one model's miss vetoes no other's hit") {
  House house;
  const Tokens prompt = count_from(0, 32);
  house.teach(a, prompt);
  CHECK(house.longest(b, prompt) == 0);
  house.teach(b, count_from(0, 16));
  CHECK(house.longest(a, prompt) == 32);
  CHECK(house.longest(b, prompt) == 16);
  CHECK(house.index.stats().nodes == 1);
  house.teach(b, count_from(0, 16) + count_from(500, 8));
  CHECK(house.longest(a, count_from(0, 16) + count_from(500, 8)) == 16);
  CHECK(house.longest(b, count_from(0, 16) + count_from(500, 8)) == 24);
  CHECK(house.longest(b, prompt) == 16);
}

TEST_CASE("another salt or tokenizer shares nothing") {
  House house;
  const Tokens prompt = count_from(0, 16);
  house.teach(a, prompt);
  CHECK(house.index.longest({1, "other"}, a, prompt) == 0);
  CHECK(house.index.longest({2, "tenant"}, a, prompt) == 0);
  CHECK_FALSE(house.index.match({1, ""}, a, prompt));
  CHECK(house.index.stats().spaces == 1);
}

TEST_CASE("a page shorter than a block is shared by prefixes that part inside the block") {
  House house;
  const Tokens first = count_from(0, 16), second = count_from(0, 12) + count_from(100, 4);
  const std::vector<Granule> pages = house.teach(a, first);
  PageTable table(house.arena, a);
  table.adopt(house.index.match(house.space, a, second).pages());
  CHECK(table.shared_tokens() == 12);
  REQUIRE(table.grow_to(16));
  CHECK(house.index.insert(house.space, a, second, table.pages(), 0) == 2);
  CHECK(house.arena.cached_references(a, pages[2]) == 2);
  table.release();
  house.index.check_integrity();
  CHECK(house.longest(a, first) == 16);
  CHECK(house.longest(a, second) == 16);
  REQUIRE(house.index.make_room(a, 96));
  CHECK(house.arena.stats(a).cached_pages == 0);
  house.index.check_integrity();
}

TEST_CASE("what is indexed already stays, and the second copy is freed with its owner") {
  House house;
  const Tokens prompt = count_from(0, 16);
  const std::vector<Granule> first = house.teach(a, prompt);
  PageTable table(house.arena, a);
  REQUIRE(table.grow_to(24));
  CHECK(house.index.insert(house.space, a, count_from(0, 24), table.pages(), 0) == 2);
  CHECK(house.index.insert(house.space, a, count_from(0, 24), table.pages(), 0) == 0);
  table.release();
  const Lease lease = house.index.match(house.space, a, prompt);
  CHECK(std::vector<Granule>(lease.pages().begin(), lease.pages().end()) == first);
  CHECK(house.arena.stats(a).cached_pages == 6);
  house.index.check_integrity();
}

TEST_CASE("a sequence that adopted a prefix may insert it again, longer") {
  House house;
  house.teach(a, count_from(0, 16));
  PageTable table(house.arena, a);
  table.adopt(house.index.match(house.space, a, count_from(0, 16)).pages());
  REQUIRE(table.grow_to(32));
  CHECK(house.index.insert(house.space, a, count_from(0, 32), table.pages(), 0) == 4);
  house.index.check_integrity();
  house.index.clear();  // the sequence still holds them all
  CHECK(house.arena.stats(a).leased_pages == 8);
  CHECK(house.index.insert(house.space, a, count_from(0, 32), table.pages(), 0) == 8);
  house.index.check_integrity();
}

TEST_CASE("an insert that ends inside a longer edge needs no cut") {
  House house;
  house.teach(a, count_from(0, 32));
  CHECK(house.index.stats().nodes == 1);
  house.teach(a, count_from(0, 16));
  CHECK(house.index.stats().nodes == 1);
  house.teach(a, count_from(0, 16) + count_from(100, 16));
  CHECK(house.index.stats().nodes == 3);
}

TEST_CASE("pages that are not held, or hold other tokens, are refused and nothing changes") {
  House house;
  PageTable table(house.arena, a);
  REQUIRE(table.grow_to(8));
  const std::vector<Granule> twice{table.pages()[0], table.pages()[0]}, free{table.pages()[0], 90};
  CHECK_THROWS_AS(house.index.insert(house.space, a, count_from(0, 8), twice, 0), Error);
  CHECK_THROWS_AS(house.index.insert(house.space, a, count_from(0, 8), free, 0), Error);
  REQUIRE(house.index.insert(house.space, a, count_from(0, 8), table.pages(), 0) == 2);
  CHECK_THROWS_AS(house.index.insert(house.space, a, count_from(50, 8), table.pages(), 0), Error);
  house.index.check_integrity();
  CHECK(house.index.stats().spaces == 1);
}

TEST_CASE("a lease keeps its pages through every eviction") {
  House house(2);
  const Tokens prompt = count_from(0, 16);
  house.teach(a, prompt);
  {
    const Lease lease = house.index.match(house.space, a, prompt);
    CHECK_FALSE(house.index.make_room(a, 12));
    CHECK(house.longest(a, prompt) == 16);
    house.index.clear();
    CHECK(house.arena.stats(a).leased_pages == 4);
  }
  CHECK(house.arena.grantable(a) == 12);
}

TEST_CASE("eviction takes the least recently used, from its end, and only what is needed") {
  House house(2);
  house.teach(a, count_from(0, 16));
  house.clock.advance(1s);
  house.teach(a, count_from(100, 24));
  house.clock.advance(1s);
  house.index.match(house.space, a, count_from(0, 16));
  REQUIRE(house.arena.grantable(a) == 2);
  REQUIRE(house.index.make_room(a, 3));
  CHECK(house.arena.grantable(a) == 3);
  CHECK(house.longest(a, count_from(100, 24)) == 20);
  CHECK(house.longest(a, count_from(0, 16)) == 16);
  REQUIRE(house.index.make_room(a, 9));
  CHECK(house.longest(a, count_from(100, 24)) == 0);
  CHECK(house.longest(a, count_from(0, 16)) == 12);
  CHECK(house.index.stats().evicted_pages == 7);
  house.index.check_integrity();
}

TEST_CASE("among equals the one used longest ago goes first, also where no time has passed") {
  House house(2);
  house.teach(a, count_from(0, 16));
  house.teach(a, count_from(100, 16));
  house.index.match(house.space, a, count_from(0, 16));
  REQUIRE(house.index.make_room(a, 8));
  CHECK(house.longest(a, count_from(0, 16)) == 16);
  CHECK(house.longest(a, count_from(100, 16)) == 0);
}

TEST_CASE("ends of prefixes leave before what they share") {
  House house(2, [](const PrefixView& piece) { return static_cast<double>(piece.before); });  // beginnings worth least
  const Tokens head = count_from(0, 16);
  house.teach(a, head + count_from(100, 8));
  house.teach(a, head + count_from(200, 8));
  REQUIRE(house.index.make_room(a, 8));
  CHECK(house.longest(a, head) == 16);
  CHECK(house.arena.stats(a).cached_pages == 4);
  CHECK(house.index.stats().nodes == 1);
  REQUIRE(house.index.make_room(a, 12));
  CHECK(house.index.stats().spaces == 0);
  house.index.check_integrity();
}

TEST_CASE("room for one model is made from another's idle extents") {
  House house(2);
  house.teach(a, count_from(0, 48));
  CHECK(house.arena.grantable(b) == 0);
  REQUIRE(house.index.make_room(b, 2));
  CHECK(house.arena.grantable(b) >= 2);
  house.index.check_integrity();
}

TEST_CASE("pages that cannot help another model are left alone") {
  House house(3);
  house.teach(b, count_from(500, 16));  // extent 0: the least recently used of model b
  PageTable table(house.arena, b);
  REQUIRE(table.grow_to(8));  // extent 1: held
  house.clock.advance(1s);
  PageTable other(house.arena, a);
  REQUIRE(other.grow_to(24));  // extent 2: full
  house.index.clear();
  house.clock.advance(1s);
  REQUIRE(table.grow_to(16));
  house.index.insert(house.space, b, count_from(0, 16), table.pages(), 0);
  table.trim_to(8);  // its second page is idle, its first is not
  house.clock.advance(1s);
  house.teach(b, count_from(500, 16));
  REQUIRE(house.index.make_room(a, 6));
  CHECK(house.longest(b, count_from(0, 16)) == 16);  // older, but in an extent that stays
  CHECK(house.longest(b, count_from(500, 16)) == 0);
  CHECK_FALSE(house.index.make_room(a, 7));
  CHECK(house.longest(b, count_from(0, 16)) == 16);
  house.index.check_integrity();
}

TEST_CASE("what must fail evicts nothing") {
  House house(2);
  house.teach(a, count_from(0, 24));
  PageTable table(house.arena, a);
  REQUIRE(table.grow_to(4));
  CHECK_FALSE(house.index.make_room(a, 12));
  CHECK(house.longest(a, count_from(0, 24)) == 24);
  CHECK(house.index.make_room(a, 0));
  CHECK(house.index.stats().evicted_pages == 0);
}

TEST_CASE("what is unused for longer than it was to be kept expires") {
  House house;
  house.teach(a, count_from(0, 16), 0, 10s);
  house.teach(a, count_from(0, 16) + count_from(100, 8), 0, 2s);
  house.teach(a, count_from(200, 8), 0, 2s);
  CHECK(house.index.insert(house.space, a, count_from(300, 8), {}, 0, Duration::zero()) == 0);
  house.clock.advance(2s);
  CHECK(house.index.expire() == 0);
  house.clock.advance(1s);
  CHECK(house.index.expire() == 4);
  CHECK(house.longest(a, count_from(0, 24)) == 16);
  house.index.match(house.space, a, count_from(0, 16));
  house.clock.advance(10s);
  CHECK(house.index.expire() == 0);
  house.clock.advance(1s);
  const Lease lease = house.index.match(house.space, a, count_from(0, 8));
  house.clock.advance(11s);
  CHECK(house.index.expire() == 2);  // the lease holds the other half
  house.index.check_integrity();
}

TEST_CASE("a prefix indexed again is kept for the longer of both times") {
  House house;
  house.teach(a, count_from(0, 16), 0, 2s);
  house.teach(a, count_from(0, 16), 0, 10s);
  house.clock.advance(5s);
  CHECK(house.index.expire() == 0);
}

TEST_CASE("worth is asked with what was measured, and its inflation rises with what it evicts") {
  std::vector<PrefixView> asked;
  House house(2, [&](const PrefixView& piece) {
    asked.push_back(piece);
    return piece.inflation + 5;
  });
  house.teach(a, count_from(0, 16), 8.0);
  REQUIRE_FALSE(asked.empty());
  CHECK(asked.back().tokens == 16);
  CHECK(asked.back().bytes == 4 * granule);
  CHECK(asked.back().recompute_seconds == 8.0);
  CHECK(asked.back().hits == 0);
  house.index.match(house.space, a, count_from(0, 16));
  CHECK(asked.back().hits == 1);
  CHECK(asked.back().inflation == 0.0);
  REQUIRE(house.index.make_room(a, 12));
  house.teach(a, count_from(0, 16), 8.0);
  CHECK(asked.back().inflation == 5.0);
}

TEST_CASE("a worth that throws or is no number leaves the index whole") {
  double answer = std::numeric_limits<double>::quiet_NaN();
  bool fail = false;
  House house(4, [&](const PrefixView&) { return fail ? throw std::runtime_error("no opinion") : answer; });
  house.teach(a, count_from(0, 16));
  answer = 1;
  house.teach(a, count_from(100, 16));
  fail = true;
  CHECK_THROWS_AS(house.index.match(house.space, a, count_from(0, 16)), std::runtime_error);
  CHECK(house.arena.stats(a).leased_pages == 0);
  PageTable table(house.arena, a);
  REQUIRE(table.grow_to(24));
  CHECK_THROWS_AS(house.index.insert(house.space, a, count_from(0, 24), table.pages(), 0), std::runtime_error);
  table.release();
  house.index.check_integrity();
  REQUIRE(house.index.make_room(a, 18));
  CHECK(house.longest(a, count_from(0, 16)) < 16);  // no number is the least worth
  CHECK(house.longest(a, count_from(100, 16)) == 16);
}

TEST_CASE("looking without taking counts nothing") {
  House house;
  house.teach(a, count_from(0, 16));
  CHECK(house.longest(a, count_from(0, 12)) == 12);
  CHECK(house.index.stats().hits == 0);
  house.index.match(house.space, a, count_from(0, 12));
  house.index.match(house.space, a, count_from(50, 12));
  house.index.match(house.space, a, {});
  const PrefixIndexStats stats = house.index.stats();
  CHECK(stats.hits == 1);
  CHECK(stats.misses == 2);
  CHECK(stats.tokens_asked == 24);
  CHECK(stats.tokens_served == 12);
  CHECK(stats.pages == std::vector<std::size_t>{4, 0});
}

TEST_CASE("a lease moves, and is dropped once") {
  House house;
  house.teach(a, count_from(0, 16));
  Lease first = house.index.match(house.space, a, count_from(0, 15));
  Lease second = std::move(first);
  CHECK(second.tokens() == 15);
  CHECK(house.arena.stats(a).leased_pages == 4);
  second = house.index.match(house.space, a, count_from(0, 8));
  CHECK(house.arena.stats(a).leased_pages == 2);
  second.release();
  CHECK_FALSE(second);
  CHECK(house.arena.stats(a).leased_pages == 0);
}

}  // namespace
}  // namespace frugal

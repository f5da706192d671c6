#include <frugal/cache/page_table.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <utility>
#include <vector>

namespace frugal {
namespace {

constexpr std::size_t granule = Arena::granule_bytes;
constexpr ModelId model{0};

struct Room {
  Arena arena{8 * granule, {.extent_bytes = granule, .models = {{4, granule, 1}}, .waste = 0}};
  std::size_t held() const { return arena.stats(model).leased_pages; }
};

TEST_CASE("a table grows by whole pages and gives them back when it dies") {
  Room room;
  {
    PageTable table(room.arena, model);
    CHECK(table.missing(9) == 3);
    REQUIRE(table.grow_to(9));
    CHECK(table.tokens() == 9);
    CHECK(table.capacity() == 12);
    CHECK(table.missing(12) == 0);
    REQUIRE(table.grow_to(12));
    CHECK(room.held() == 3);
    CHECK(table.full_pages(11).size() == 2);
    CHECK(table.full_pages(100).size() == 3);
    REQUIRE(table.grow_to(3));
    CHECK(table.tokens() == 12);
  }
  CHECK(room.held() == 0);
}

TEST_CASE("where pages are short nothing changes") {
  Room room;
  PageTable table(room.arena, model);
  REQUIRE(table.grow_to(5));
  CHECK_FALSE(table.grow_to(33));
  CHECK(table.tokens() == 5);
  CHECK(room.held() == 2);
  CHECK(table.grow_to(32));
}

TEST_CASE("trimming releases pages that hold none of the rest") {
  Room room;
  PageTable table(room.arena, model);
  REQUIRE(table.grow_to(16));
  table.trim_to(9);
  CHECK(table.pages().size() == 3);
  table.trim_to(8);
  CHECK(table.pages().size() == 2);
  table.trim_to(20);
  CHECK(table.tokens() == 8);
  table.trim_to(0);
  CHECK(room.held() == 0);
}

TEST_CASE("adopted pages are shared, and never opened for writing") {
  Room room;
  PageTable first(room.arena, model);
  REQUIRE(first.grow_to(8));
  PageTable second(room.arena, model);
  second.adopt(first.pages());
  CHECK(second.tokens() == 8);
  CHECK(second.shared_tokens() == 8);
  CHECK(room.arena.references(model, first.pages()[0]) == 2);
  REQUIRE(second.grow_to(10));
  second.trim_to(8);
  CHECK_THROWS_AS(second.trim_to(6), Error);
  CHECK(second.tokens() == 8);
  second.trim_to(4);
  CHECK(second.shared_tokens() == 4);
  CHECK_THROWS_AS(second.adopt(first.pages()), Error);
  first.release();
  CHECK(room.held() == 1);
  second.release();
  CHECK(room.held() == 0);
  second.adopt({});
  CHECK(second.tokens() == 0);
}

TEST_CASE("adopting a page that nobody holds is refused and leaves the table whole") {
  Room room;
  PageTable first(room.arena, model), second(room.arena, model);
  REQUIRE(first.grow_to(4));
  const std::vector<Granule> pages{first.pages()[0], 7};
  CHECK_THROWS_AS(second.adopt(pages), Error);
  second.release();
  CHECK(room.held() == 1);
  room.arena.check_integrity();
}

TEST_CASE("a moved table takes its pages along") {
  Room room;
  PageTable first(room.arena, model), second(room.arena, model);
  REQUIRE(first.grow_to(8));
  REQUIRE(second.grow_to(4));
  second = std::move(first);
  CHECK(second.tokens() == 8);
  CHECK(room.held() == 2);
  PageTable third = std::move(second);
  CHECK(third.pages().size() == 2);
  CHECK(room.held() == 2);
}

TEST_CASE("a table without an arena is empty and cannot grow") {
  PageTable table;
  CHECK(table.capacity() == 0);
  CHECK(table.missing(5) == 0);
  CHECK(table.full_pages(3).empty());
  CHECK(table.grow_to(0));
  CHECK_THROWS_AS(table.grow_to(1), Error);
}

}  // namespace
}  // namespace frugal

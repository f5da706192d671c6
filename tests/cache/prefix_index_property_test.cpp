// The prefix index against a twin that keeps every indexed prefix as a plain key, over random operations: two models
// with different pages, several spaces, live sequences and leases, a policy that answers anything and sometimes throws.
// Pages are counted after every operation.
#include <frugal/cache/page_table.hpp>
#include <frugal/cache/prefix_index.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "support/manual_clock.hpp"

namespace frugal {
namespace {

using namespace std::chrono_literals;
using Tokens = std::vector<Token>;

constexpr std::size_t granule = Arena::granule_bytes, block = 8, extents = 14;

struct Silent : std::runtime_error {
  Silent() : runtime_error("no opinion") {}
};

struct Key {
  PrefixSpace space{};
  std::uint32_t model = 0;
  Tokens tokens{};       // of the prefix up to the end of the block that the page lies in
  std::size_t page = 0;  // its place in the prefix
  friend auto operator<=>(const Key&, const Key&) = default;
};

std::size_t common(const Tokens& x, const Tokens& y) {
  return static_cast<std::size_t>(
      std::mismatch(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(std::min(x.size(), y.size())), y.begin()).first -
      x.begin());
}

Tokens head(const Tokens& tokens, std::size_t n) {
  return {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n)};
}

class Walk {
 public:
  explicit Walk(unsigned seed)
      : random_(seed),
        arena_(extents * 6 * granule,
               {.extent_bytes = 6 * granule, .models = {{4, granule, 6}, {8, 3 * granule, 2}}, .waste = 0}),
        index_(
            arena_, [this](const PrefixView& piece) { return opinion(piece); }, clock_) {}

  void step() {
    clock_.advance(1s * draw(3));
    switch (draw(12)) {
      case 0:
      case 1:
      case 2:
        serve();
        break;
      case 3:
      case 4:
        look();
        break;
      case 5:
      case 6:
        drop(leases_);
        break;
      case 7:
        drop(tables_);
        break;
      case 8:
        trim();
        break;
      case 9:
      case 10:
        make_room();
        break;
      default:
        draw(40) == 0 ? index_.clear() : static_cast<void>(index_.expire());
        forget_evicted();
    }
    check();
  }
  std::size_t indexed() const { return twin_.size(); }
  std::uint64_t hits = 0, tails = 0, refusals = 0, evictions = 0, throws = 0;

  void finish() {
    leases_.clear();
    tables_.clear();
    index_.clear();
    forget_evicted();
    check();
    REQUIRE(arena_.stats().leased_bytes + arena_.stats().indexed_bytes == 0);
  }

 private:
  using Pages = std::set<std::pair<std::uint32_t, Granule>>;

  std::size_t draw(std::size_t n) { return random_() % n; }
  double opinion(const PrefixView& piece) {
    const std::size_t mood = draw(50);
    if (mood == 0) ++throws;
    if (mood == 0) throw Silent();
    if (mood == 1) return std::numeric_limits<double>::quiet_NaN();
    if (mood == 2) return std::numeric_limits<double>::infinity();
    return mood < 25 ? piece.last_use_seconds : static_cast<double>(draw(5));
  }
  ModelId any_model() { return ModelId(static_cast<std::uint32_t>(draw(2))); }
  PrefixSpace any_space() { return {draw(2), draw(3) == 0 ? "x" : ""}; }
  std::size_t page_tokens(ModelId model) const { return arena_.page(model).page_tokens; }

  // Mostly the start of an earlier prompt with a new end, over three tokens, so that prefixes meet everywhere.
  Tokens any_prompt() {
    Tokens tokens;
    if (!prompts_.empty() && draw(6) != 0) {
      const Tokens& old = prompts_[draw(prompts_.size())];
      tokens = head(old, draw(old.size() + 1));
    }
    for (std::size_t n = draw(24); n > 0; --n) tokens.push_back(static_cast<Token>(draw(3)));
    if (tokens.size() > 64) tokens.resize(64);
    if (prompts_.size() < 40)
      prompts_.push_back(tokens);
    else
      prompts_[draw(prompts_.size())] = tokens;
    return tokens;
  }

  // --- the twin's answers

  std::size_t expected_length(const PrefixSpace& space, ModelId model, const Tokens& tokens) const {
    std::size_t best = 0;
    for (const auto& [key, page] : twin_)
      if (key.space == space && key.model == model.value)
        best = std::max(best, std::min(common(key.tokens, tokens), (key.page + 1) * page_tokens(model)));
    return best;
  }
  bool has_successor(const Key& key, const std::set<Key>& among) const {
    for (const Key& other : among)
      if (other.space == key.space && other.model == key.model && other.page > key.page &&
          common(other.tokens, key.tokens) == key.tokens.size())
        return true;
    return false;
  }
  // Held by the cache alone, and so are all pages behind it.
  Pages evictable() const {
    std::set<Key> stuck;
    for (const auto& [key, page] : twin_)
      if (!arena_.idle(ModelId(key.model), page)) stuck.insert(key);
    Pages pages, stay;
    for (const auto& [key, page] : twin_)
      (stuck.contains(key) || has_successor(key, stuck) ? stay : pages).insert({key.model, page});
    for (const auto& page : stay) pages.erase(page);
    return pages;
  }
  Pages held() const {
    Pages pages;
    for (const auto& [key, page] : twin_) pages.insert({key.model, page});
    for (const PageTable& table : tables_)
      for (Granule page : table.pages()) pages.insert({table.model().value, page});
    for (const auto& [model, lease] : leases_) {
      for (Granule page : lease.pages()) pages.insert({model.value, page});
      if (lease.tail_page()) pages.insert({model.value, *lease.tail_page()});
    }
    return pages;
  }
  std::size_t grantable_without(ModelId model, const Pages& gone) const {
    std::map<std::size_t, std::pair<std::uint32_t, std::size_t>> extent;  // owner, held pages
    for (const auto& [owner, page] : held())
      if (!gone.contains({owner, page})) {
        auto& at = extent[static_cast<std::size_t>(page) / 6];
        at = {owner, at.second + 1};
      }
    const std::size_t per_extent = arena_.page(model).pages_per_extent;
    std::size_t pages = (extents - extent.size()) * per_extent;
    for (const auto& [number, at] : extent)
      if (at.first == model.value) pages += per_extent - at.second;
    return pages;
  }

  // The twin knows this page as one of a prefix that starts with these tokens.
  bool is_page(Granule page, const PrefixSpace& space, ModelId model, std::size_t place, const Tokens& start) const {
    return std::ranges::any_of(twin_, [&](const auto& entry) {
      const Key& key = entry.first;
      return key.space == space && key.model == model.value && entry.second == page && key.page == place &&
             common(key.tokens, start) == start.size();
    });
  }
  std::map<Key, Granule> actual() const {
    std::map<Key, Granule> keys;
    index_.visit([&](const PrefixPiece& piece) {
      const Tokens tokens(piece.tokens.begin(), piece.tokens.end());
      for (std::size_t i = 0; i < piece.pages.size(); ++i) {
        const std::size_t place = piece.before / page_tokens(piece.model) + i;
        REQUIRE(keys.try_emplace(key_of(piece.space, piece.model, tokens, place), piece.pages[i]).second);
      }
    });
    return keys;
  }
  Key key_of(const PrefixSpace& space, ModelId model, const Tokens& tokens, std::size_t page) const {
    const std::size_t end = (page + 1) * page_tokens(model);
    return {space, model.value, head(tokens, (end + block - 1) / block * block), page};
  }

  // --- operations

  void expect_lease(const Lease& lease, const PrefixSpace& space, ModelId model, const Tokens& tokens) {
    const std::size_t length = expected_length(space, model, tokens), per_page = page_tokens(model);
    REQUIRE(lease.tokens() == length);
    REQUIRE(lease.pages().size() == length / per_page);
    REQUIRE(lease.tail_tokens() == length % per_page);
    for (std::size_t i = 0; i < lease.pages().size(); ++i)
      REQUIRE(is_page(lease.pages()[i], space, model, i, head(tokens, (i + 1) * per_page)));
    REQUIRE(lease.tail_page().has_value() == (length % per_page != 0));
    hits += length != 0;
    if (!lease.tail_page()) return;
    ++tails;
    REQUIRE(is_page(*lease.tail_page(), space, model, length / per_page, head(tokens, length)));
  }

  void look() {
    const PrefixSpace space = any_space();
    const ModelId model = any_model();
    const Tokens tokens = any_prompt();
    REQUIRE(index_.longest(space, model, tokens) == expected_length(space, model, tokens));
    try {
      Lease lease = index_.match(space, model, tokens);
      expect_lease(lease, space, model, tokens);
      if (leases_.size() < 4) leases_.emplace_back(model, std::move(lease));
    } catch (const Silent&) {
    }
  }

  // A request as an engine serves it: match, adopt, make room, grow, insert, and live on for a while.
  void serve() {
    const PrefixSpace space = any_space();
    const ModelId model = any_model();
    const Tokens tokens = any_prompt();
    PageTable table(arena_, model);
    try {
      const Lease lease = index_.match(space, model, tokens);
      expect_lease(lease, space, model, tokens);
      table.adopt(lease.pages());
    } catch (const Silent&) {
    }
    if (!table.grow_to(tokens.size())) {
      index_.make_room(model, table.missing(tokens.size()));
      forget_evicted();
      if (!table.grow_to(tokens.size())) return;
    }
    const std::size_t per_page = page_tokens(model), whole = tokens.size() / block * block / per_page;
    std::size_t expected = 0, kept = 0;
    for (std::size_t i = 0; i < whole; ++i) expected += !twin_.contains(key_of(space, model, tokens, i));
    bool answered = true;
    try {
      kept = index_.insert(space, model, tokens, table.full_pages(tokens.size()), 1.0,
                           draw(4) == 0 ? Duration(5s) : Duration::max());
    } catch (const Silent&) {
      answered = false;
    }
    const std::map<Key, Granule> now = actual();
    for (std::size_t i = 0; i < whole; ++i) {
      const Key key = key_of(space, model, tokens, i);
      if (answered || now.contains(key)) twin_.try_emplace(key, table.pages()[i]);
    }
    if (answered) REQUIRE(kept == expected);
    if (tables_.size() < 4) tables_.push_back(std::move(table));
  }

  void make_room() {
    const ModelId model = any_model();
    const std::size_t pages = draw(extents * arena_.page(model).pages_per_extent + 2), before = arena_.grantable(model);
    const bool possible = grantable_without(model, evictable()) >= pages;
    const std::size_t indexed_before = twin_.size();
    REQUIRE(index_.make_room(model, pages) == possible);
    forget_evicted();
    REQUIRE((arena_.grantable(model) >= pages) == possible);
    if (before >= pages) REQUIRE(twin_.size() == indexed_before);
    refusals += !possible;
    evictions += indexed_before - twin_.size();
  }

  // Drops from the twin what the index has evicted; it must have been the index's alone, and nothing may stand behind
  // it.
  void forget_evicted() {
    const std::map<Key, Granule> now = actual();
    std::set<Key> gone;
    for (const auto& [key, page] : twin_)
      if (!now.contains(key)) gone.insert(key);
    for (const Key& key : gone) twin_.erase(key);
    std::set<Key> left;
    for (const auto& [key, page] : twin_) left.insert(key);
    for (const Key& key : gone) REQUIRE_FALSE(has_successor(key, left));
  }

  template <class Some>
  void drop(Some& some) {
    if (some.empty()) return;
    std::swap(some[draw(some.size())], some.back());
    some.pop_back();
  }
  void trim() {
    if (tables_.empty()) return;
    PageTable& table = tables_[draw(tables_.size())];
    table.trim_to(std::max(table.shared_tokens(), table.tokens() - draw(table.tokens() + 1)));
  }

  void check() {
    REQUIRE_NOTHROW(index_.check_integrity());
    REQUIRE(actual() == twin_);
    Pages indexed;
    for (const auto& [key, page] : twin_) {
      indexed.insert({key.model, page});
      REQUIRE(arena_.cached_references(ModelId(key.model), page) != 0);
    }
    const std::vector<std::size_t> pages = index_.stats().pages;
    REQUIRE(pages.size() == 2);
    REQUIRE(pages[0] + pages[1] == indexed.size());
    const Pages all = held();
    for (std::uint32_t m = 0; m < 2; ++m) {
      const ArenaModelStats model = arena_.stats(ModelId(m));
      const auto mine =
          static_cast<std::size_t>(std::ranges::count_if(all, [&](const auto& page) { return page.first == m; }));
      REQUIRE(model.leased_pages + model.indexed_pages == mine);
    }
    const ArenaStats bytes = arena_.stats();
    REQUIRE(bytes.free_bytes + bytes.leased_bytes + bytes.indexed_bytes + bytes.waste_bytes == bytes.total_bytes);
  }

  std::mt19937 random_;
  testing::ManualClock clock_{};
  Arena arena_;
  PrefixIndex index_;
  std::map<Key, Granule> twin_{};
  std::vector<Tokens> prompts_{};
  std::vector<PageTable> tables_{};
  std::vector<std::pair<ModelId, Lease>> leases_{};
};

TEST_CASE("10,000 random operations on the prefix index agree with a twin, and no page is lost", "[property]") {
  const unsigned seed = GENERATE(1U, 2U, 3U);
  Walk walk(seed);
  for (int i = 0; i < 10000; ++i) {
    INFO("seed " << seed << ", operation " << i);
    walk.step();
  }
  CHECK(walk.hits > 1000);  // the walk has been everywhere
  CHECK(walk.tails > 300);
  CHECK(walk.evictions > 1000);
  CHECK(walk.refusals > 100);
  CHECK(walk.throws > 50);
  walk.finish();
}

}  // namespace
}  // namespace frugal

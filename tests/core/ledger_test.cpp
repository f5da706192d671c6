#include <frugal/core/ledger_fields.hpp>

#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <set>
#include <string>

using namespace frugal;

namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();

/// Every field set to another number, beginning with `first`.
template <class L>
L numbered(std::uint64_t first) {
  L ledger;
  for_each_field<L>([&](const LedgerField&, auto member) {
    auto& value = ledger.*member;
    if constexpr (std::is_same_v<decltype(member), Duration L::*>)
      value = Duration(static_cast<Duration::rep>(first++));
    else if constexpr (std::is_same_v<decltype(member), std::vector<std::uint64_t> L::*>)
      value = {first++, first++};
    else
      value = first++;
  });
  return ledger;
}

template <class L>
std::size_t named_bytes() {
  std::size_t bytes = 0;
  for_each_field<L>([&](const LedgerField&, auto member) { bytes += sizeof(L{}.*member); });
  return bytes;
}

template <class L>
std::set<std::string> names() {
  std::set<std::string> out;
  for_each_field<L>([&](const LedgerField& field, auto) { CHECK(out.insert(std::string(field.name)).second); });
  return out;
}

Attempt local() {
  Attempt a{.endpoint = "engine", .model = "m", .usage = {.input = 10, .cached_read = 4, .output = 7}};
  a.tokens = TokenLedger{.prompt_computed = 6, .prompt_cached = 4, .decoded = 4, .accepted = 2, .forced = 1};
  a.tokens->wasted_drafts = 3;
  a.drafts.drafted = 5, a.drafts.verified = 4, a.drafts.accepted = 2;
  return a;
}

}  // namespace

TEST_CASE("the table names every field of a ledger once") {
  CHECK(named_bytes<Usage>() == sizeof(Usage));
  CHECK(named_bytes<TokenLedger>() == sizeof(TokenLedger));
  CHECK(named_bytes<DraftLedger>() == sizeof(DraftLedger));
  CHECK(names<Usage>().size() == 6);
  CHECK(names<TokenLedger>().size() == 10);
  CHECK(names<DraftLedger>().contains("saved_ms"));
}

TEST_CASE("a sum adds every field of the table") {
  const auto doubles = [](auto ledger) {
    auto sum = ledger;
    sum += ledger;
    for_each_field<decltype(ledger)>([&](const LedgerField& field, auto member) {
      CAPTURE(field.name);
      if constexpr (std::is_same_v<decltype(member), std::vector<std::uint64_t> DraftLedger::*>)
        CHECK((sum.*member == std::vector{2 * (ledger.*member)[0], 2 * (ledger.*member)[1]}));
      else
        CHECK(sum.*member == 2 * (ledger.*member));
    });
  };
  doubles(numbered<Usage>(1));
  doubles(numbered<TokenLedger>(11));
  doubles(numbered<DraftLedger>(101));
}

TEST_CASE("counts by place are added place by place, however long the chains were") {
  DraftLedger sum{.verified_at = {5}}, longer{.verified_at = {1, 2, 3}};
  sum += longer;
  CHECK(sum.verified_at == std::vector<std::uint64_t>{6, 2, 3});
}

TEST_CASE("a sum that does not fit stays at the largest number instead of wrapping") {
  Usage sum{.input = most - 1};
  sum += Usage{.input = 100};
  CHECK(sum.input == most);
  DraftLedger times{.saved = Duration::max()}, less{.saved = Duration::min()};
  times += DraftLedger{.saved = Duration(1)};
  CHECK(times.saved == Duration::max());
  less += DraftLedger{.saved = Duration(-1)};
  CHECK(less.saved == Duration::min());
}

TEST_CASE("an attempt without a token ledger is consistent where its usage is") {
  Ledger ledger{{{.endpoint = "api", .model = "m", .usage = {.input = 10, .cached_read = 4, .output = 7}}}};
  CHECK(ledger.consistent());
  CHECK(ledger.total() == TokenLedger{});
  ledger.attempts.push_back(local());
  CHECK(ledger.consistent());
  CHECK(ledger.total() == *local().tokens);
  CHECK(ledger.usage().output == 14);
  SECTION("more read from and written to a cache than the prompt has") {
    ledger.attempts[0].usage.cache_write = 7;
    CHECK_FALSE(ledger.consistent());
  }
  SECTION("more reasoning than output") {
    ledger.attempts[0].usage.reasoning = 8;
    CHECK_FALSE(ledger.consistent());
  }
}

TEST_CASE("a token without an owner, or with two, is inconsistent") {
  Ledger ledger{{local()}};
  REQUIRE(ledger.consistent());
  Attempt& a = ledger.attempts[0];
  SECTION("a prompt token too few") { --a.tokens->prompt_computed; }
  SECTION("a cached token that usage does not know") { ++a.tokens->prompt_cached, --a.tokens->prompt_computed; }
  SECTION("an answer token twice") { ++a.tokens->decoded; }
  SECTION("a wasted draft that nobody drafted") { ++a.tokens->wasted_drafts; }
  SECTION("more drafts kept than verified") { a.drafts.verified = 1; }
  SECTION("more drafts verified than proposed") { a.drafts.verified = 6; }
  CHECK_FALSE(ledger.consistent());
}

#include "engine/account.hpp"

#include <catch2/catch_test_macros.hpp>

#include <chrono>

using namespace frugal;
using namespace std::chrono_literals;

namespace {

Ledger ledger_of(const Account& account, double plain_pass = 0) {
  Ledger ledger;
  ledger.attempts.push_back({.endpoint = "engine",
                             .model = "m",
                             .usage = account.usage(),
                             .tokens = account.tokens(),
                             .drafts = account.drafts(plain_pass)});
  return ledger;
}

}  // namespace

TEST_CASE("a prompt's tokens are cached or computed once, and recomputed after a preemption") {
  Account account;
  account.found(32, 100);
  account.computed(32, 40, 40, 100);
  account.computed(72, 28, 28, 100);
  account.accept({});
  account.computed(100, 1, 1, 100);
  account.accept({});
  CHECK(account.usage() == Usage{.input = 100, .cached_read = 32, .output = 2});
  account.found(64, 100);  // preempted: the index kept 64 of 101
  account.computed(64, 38, 38, 100);
  account.accept({});
  const TokenLedger tokens = account.tokens();
  CHECK(tokens.prompt_cached == 32);
  CHECK(tokens.prompt_computed == 68);
  CHECK(tokens.recomputed == 37);
  CHECK(tokens.decoded == 3);
  CHECK(tokens.passes == 4);
  CHECK(tokens.rows == 107);
  CHECK(ledger_of(account).consistent());
}

TEST_CASE("a draft is drafted, verified, kept or wasted, and what is cut off is nobody's output") {
  using enum Account::Owner;
  Account account;
  account.computed(0, 10, 10, 10);
  account.accept({});
  account.drafted(4);
  account.drafting(3ms);
  account.verified(3, 10ms);  // one found no room
  account.computed(10, 4, 3, 10);
  account.accept({drafted, 0});
  account.accept({drafted, 1});
  account.trim({drafted, 1});
  CHECK(ledger_of(account).consistent());
  CHECK(account.usage().output == 2);
  const DraftLedger drafts = account.drafts(0.02);
  CHECK(drafts.drafted == 4);
  CHECK(drafts.verified_at == std::vector<std::uint64_t>{1, 1, 1});
  CHECK(drafts.accepted_at == std::vector<std::uint64_t>{1, 0, 0});
  CHECK(account.tokens().wasted_drafts == 3);
  CHECK(drafts.saved == 2 * 20ms - 13ms);  // two passes' worth for one that took ten, and three of drafting
  account.drafted(1);
  account.verified(1, 1ms);
  account.accept({forced, 0});
  CHECK(account.tokens().forced == 1);
  CHECK(account.tokens().accepted == 1);
  account.accept({});
  account.trim({});
  CHECK(account.tokens().trimmed == 1);
  CHECK(ledger_of(account).consistent());
}

TEST_CASE("without drafts nothing is said of drafts, whatever a plain pass costs") {
  Account account;
  account.computed(0, 10, 10, 10);
  account.accept({});
  CHECK(account.drafts(0.02) == DraftLedger{});
}

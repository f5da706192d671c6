#include <frugal/core/error.hpp>
#include <frugal/policy/prefix_cache.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

namespace frugal {
namespace {

using namespace std::chrono_literals;

TEST_CASE("lru: worth is the time of the last use, whatever it cost") {
  const auto policy = lru();
  CHECK(policy->name() == "lru");
  CHECK(policy->worth({.recompute_seconds = 100, .last_use_seconds = 1}) < policy->worth({.last_use_seconds = 2}));
}

TEST_CASE("greedy_dual_size: worth is inflation plus the chance of reuse times seconds per byte") {
  const auto policy = greedy_dual_size();
  CHECK(policy->name() == "greedy_dual_size");
  CHECK(policy->worth({.bytes = 100, .hits = 0, .recompute_seconds = 10}) == Catch::Approx(0.05));
  CHECK(policy->worth({.bytes = 100, .hits = 2, .recompute_seconds = 10, .inflation = 1}) == Catch::Approx(1.075));
  CHECK(policy->worth({.bytes = 0, .recompute_seconds = 0}) == 0.0);
}

TEST_CASE("greedy_dual_size lets the cheap-to-compute pages of a draft model go first") {
  const auto policy = greedy_dual_size();
  const PrefixView target{.tokens = 16, .bytes = 2 << 20, .recompute_seconds = 16 * 2e-3};
  const PrefixView draft{.tokens = 16, .bytes = 512 << 10, .recompute_seconds = 16 * 2e-4};
  CHECK(policy->worth(draft) < policy->worth(target));
}

TEST_CASE("greedy_dual_size forgets: a cheap new piece outlives a dear old one once inflation has passed it") {
  const auto policy = greedy_dual_size();
  const double dear_and_old = policy->worth({.bytes = 1, .recompute_seconds = 2, .inflation = 0});
  CHECK(policy->worth({.bytes = 1, .recompute_seconds = 0.2, .inflation = 0.5}) < dear_and_old);
  CHECK(policy->worth({.bytes = 1, .recompute_seconds = 0.2, .inflation = 1}) > dear_and_old);
}

TEST_CASE("by default a prefix is kept while there is room and shared within its tenant") {
  const auto policy = lru();
  const RequestView request{.tenant = "acme"};
  CHECK(policy->keep(request) == Duration::max());
  CHECK(policy->salt(request) == "acme");
}

TEST_CASE("limited and when speak about keeping only") {
  const auto inner = greedy_dual_size();
  const auto policy = when([](const RequestView& r) { return r.type == "chat"; }, limited(inner, 5min));
  CHECK(policy->name() == "greedy_dual_size");
  CHECK(policy->keep({.type = "chat"}) == 5min);
  CHECK(policy->keep({.type = "batch"}) == Duration::zero());
  CHECK(policy->salt({.tenant = "acme"}) == "acme");
  CHECK(policy->worth({.bytes = 2, .recompute_seconds = 4}) == inner->worth({.bytes = 2, .recompute_seconds = 4}));
  CHECK(limited(limited(lru(), 1min), 5min)->keep({}) == 1min);
}

TEST_CASE("a combinator around nothing is refused") {
  CHECK_THROWS_AS(limited(std::shared_ptr<PrefixCachePolicy>(), 1min), Error);
  CHECK_THROWS_AS(when(std::function<bool(const RequestView&)>(), lru()), Error);
}

}  // namespace
}  // namespace frugal

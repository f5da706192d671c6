// Split: shares are kept, units stay together, and the arms are measured apart.
#include <frugal/core/error.hpp>
#include <frugal/endpoint/metered.hpp>
#include <frugal/endpoint/split.hpp>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "endpoint/canned_endpoint.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

struct Arms {
  CannedEndpoint a{"a", {.pieces = {"from a"}}}, b{"b", {.pieces = {"from b"}}};
  SplitOptions options(double share_of_a = 0.25) {
    SplitOptions o;
    o.arms = {{&a, share_of_a}, {&b, 1 - share_of_a}};
    return o;
  }
};

Request request_of(const std::string& id) {
  Request r{RawPrompt{"hello"}};
  r.id = id;
  return r;
}

bool within_four_deviations(double count, double n, double share) {
  return std::abs(count - n * share) <= 4 * std::sqrt(n * share * (1 - share));
}

}  // namespace

TEST_CASE("arms get their shares of the units, and the shares' sum counts as 1") {
  Arms arms;
  constexpr int n = 20000;
  for (const double share : {0.01, 0.25, 0.5}) {
    SplitOptions o = arms.options();
    o.arms[0].share = 3 * share, o.arms[1].share = 3 * (1 - share);
    const Split split(o);
    int first = 0;
    for (int i = 0; i < n; ++i) first += split.arm_of("user-" + std::to_string(i)) == 0 ? 1 : 0;
    CAPTURE(share, first);
    CHECK(within_four_deviations(first, n, share));
  }
}

TEST_CASE("raising the first arm's share moves units to it and none away from it") {
  Arms arms;
  const Split less(arms.options(0.2)), more(arms.options(0.3));
  int moved = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::string unit = std::to_string(i);
    if (less.arm_of(unit) == 0) CHECK(more.arm_of(unit) == 0);
    moved += less.arm_of(unit) != more.arm_of(unit) ? 1 : 0;
  }
  CHECK(within_four_deviations(moved, 5000, 0.1));
}

TEST_CASE("two experiments divide the same units independently") {
  Arms arms;
  SplitOptions one = arms.options(0.5), two = arms.options(0.5);
  one.experiment = "prompt wording", two.experiment = "small model";
  const Split first(one), second(two);
  std::array<int, 4> cells{};
  for (int i = 0; i < 8000; ++i) {
    const std::string unit = std::to_string(i);
    ++cells[first.arm_of(unit) * 2 + second.arm_of(unit)];
  }
  for (const int cell : cells) CHECK(within_four_deviations(cell, 8000, 0.25));
}

TEST_CASE("a conversation stays with its arm whatever ids its requests have, and a retry meets the same arm") {
  Arms arms;
  Split split(arms.options(0.5));
  for (int c = 0; c < 20; ++c) {
    std::string seen;
    for (int turn = 0; turn < 5; ++turn) {
      Request r = request_of(std::to_string(100 * c + turn));
      r.labels.emplace_back("conversation", "c" + std::to_string(c));
      const std::string text = split.run(r).text;
      if (turn == 0) seen = text;
      CHECK(text == seen);
    }
    const std::string id = "retry-" + std::to_string(c);
    CHECK(split.run(request_of(id)).text == split.run(request_of(id)).text);
  }
  CHECK_FALSE(arms.a.requests.empty());
  CHECK_FALSE(arms.b.requests.empty());
}

TEST_CASE("the caller's own unit decides; where it says nothing or throws, requests are divided one by one") {
  Arms arms;
  SplitOptions o = arms.options(0.5);
  o.unit = [](const Request& r) -> std::string {
    if (r.tenant == "throws") throw 7;
    return r.tenant;
  };
  Split split(o);
  const auto to_a = [&](const std::string& tenant) {
    const std::size_t before = arms.a.requests.size();
    for (int i = 0; i < 400; ++i) {
      Request r = request_of("same id");
      r.tenant = tenant;
      CHECK(split.run(r).finish.reason == FinishReason::stop);
    }
    return static_cast<double>(arms.a.requests.size() - before);
  };
  const double acme = to_a("acme");
  CHECK((acme == 0 || acme == 400));
  CHECK(within_four_deviations(to_a(""), 400, 0.5));
  CHECK(within_four_deviations(to_a("throws"), 400, 0.5));
}

TEST_CASE("metered arms have rows of their own, and the request's label says which arm it was") {
  Arms arms;
  Meter meter;
  Metered a(arms.a, meter), b(arms.b, meter);
  SplitOptions o;
  o.name = "small model test";
  o.arms = {{&a, 0.3}, {&b, 0.7}};
  Split split(o);
  for (int i = 0; i < 300; ++i) (void)split.run(request_of(std::to_string(i)));
  meter.flush();
  std::uint64_t rows = 0;
  for (const MeterRow& row : meter.total().requests) {
    rows += row.stats.requests;
    CHECK(row.stats.requests == (row.key.endpoint == "a" ? arms.a : arms.b).requests.size());
  }
  CHECK(rows == 300);
  for (const CannedEndpoint* arm : {&arms.a, &arms.b})
    for (const Request& r : arm->requests)
      CHECK(r.labels == decltype(r.labels){{"small model test", std::string(arm->name())}});
}

TEST_CASE("a request that names an arm goes there unlabelled, one that names the split is divided") {
  Arms arms;
  Split split(arms.options(0));
  Request r = request_of("1");
  r.model = "a";
  CHECK(split.run(r).text == "from a");
  CHECK(arms.a.requests.back().model.empty());
  CHECK(arms.a.requests.back().labels.empty());
  r.model = "split";
  CHECK(split.run(r).text == "from b");
  CHECK(arms.b.requests.back().model.empty());
  r.model = "some model";
  CHECK(split.run(r).text == "from b");
  CHECK(arms.b.requests.back().model == "some model");
}

TEST_CASE("an arm without a share gets nothing, at either end") {
  Arms arms;
  const Split none(arms.options(0)), all(arms.options(1));
  for (int i = 0; i < 2000; ++i) {
    CHECK(none.arm_of(std::to_string(i)) == 1);
    CHECK(all.arm_of(std::to_string(i)) == 0);
  }
}

TEST_CASE("requests of an arm that is gone are refused and not moved to the other, and the split takes no more load") {
  auto gone = std::make_unique<CannedEndpoint>("gone", CannedAnswer{.pieces = {"x"}});
  CannedEndpoint b("b", {.pieces = {"from b"}});
  SplitOptions o;
  o.arms = {{gone.get(), 0.5}, {&b, 0.5}};
  Split split(o);
  CHECK(split.load().accepting);
  gone.reset();
  CHECK_FALSE(split.load().accepting);
  int refused = 0;
  for (int i = 0; i < 200; ++i) {
    const Answer answer = split.run(request_of(std::to_string(i)));
    refused += answer.finish.reason == FinishReason::refused ? 1 : 0;
    CHECK((answer.finish.reason == FinishReason::refused) == (split.arm_of(std::to_string(i)) == 0));
  }
  CHECK(within_four_deviations(refused, 200, 0.5));
  CHECK(b.requests.size() == static_cast<std::size_t>(200 - refused));
}

TEST_CASE("splits that cannot be are refused by the option's name") {
  Arms arms;
  const auto refused = [&](const auto& change, const char* what) {
    SplitOptions o = arms.options();
    change(o);
    const Error error = error_of([&] { const Split split(o); });
    CAPTURE(error.message());
    CHECK(mentions(error, what));
  };
  refused([](SplitOptions& o) { o.arms.clear(); }, "SplitOptions::arms is empty");
  refused([](SplitOptions& o) { o.arms[1].endpoint = nullptr; }, "null");
  refused([](SplitOptions& o) { o.arms[1].share = -0.1; }, "negative");
  refused([](SplitOptions& o) { o.arms[0].share = std::numeric_limits<double>::quiet_NaN(); }, "not finite");
  refused([](SplitOptions& o) { o.arms[0].share = o.arms[1].share = 0; }, "no share above 0");
  refused([](SplitOptions& o) { o.arms[1].endpoint = o.arms[0].endpoint; }, "is there twice");
  refused([](SplitOptions& o) { o.name = "b"; }, "is there twice");
}

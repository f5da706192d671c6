#include <frugal/meter/sketch.hpp>

#include <rapidcheck.h>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

const std::vector<double> shares{0, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1};

double exact(const std::vector<double>& sorted, double q) {
  return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))];
}

// Every quantile is within alpha of the value that exact sorting finds at its rank; a hair for rounding of the
// logarithm.
bool holds_bound(const Sketch& sketch, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return std::all_of(shares.begin(), shares.end(), [&](double q) {
    const double truth = exact(values, q);
    return std::abs(*sketch.quantile(q) - truth) <= sketch.alpha() * truth * (1 + 1e-9) + 1e-9;
  });
}

std::vector<double> drawn(std::size_t n, const std::function<double(std::mt19937_64&)>& draw) {
  std::mt19937_64 random(n);
  std::vector<double> values(n);
  for (double& v : values) v = draw(random);
  return values;
}

Sketch sketch_of(const std::vector<double>& values, double alpha = 0.01) {
  Sketch sketch(alpha);
  for (const double v : values) sketch.add(v);
  return sketch;
}

}  // namespace

TEST_CASE("quantiles of common distributions are within the stated relative error of exact sorting") {
  std::lognormal_distribution<double> latency(3, 1.5);
  std::exponential_distribution<double> gap(0.1);
  std::uniform_real_distribution<double> flat(0, 1e6);
  std::cauchy_distribution<double> wild(0, 10);
  for (const double alpha : {0.001, 0.01, 0.05}) {
    for (const std::size_t n : {1U, 2U, 10U, 1000U, 100'000U}) {
      for (const auto& values : {drawn(n, [&](auto& r) { return latency(r); }),
                                 drawn(n, [&](auto& r) { return gap(r); }), drawn(n, [&](auto& r) { return flat(r); }),
                                 drawn(n, [&](auto& r) { return std::min(std::abs(wild(r)), 1e7); })}) {
        Sketch sketch(alpha, 1U << 16);
        for (const double v : values) sketch.add(v);
        CHECK(holds_bound(sketch, values));
      }
    }
  }
}

TEST_CASE("the bound holds for any list of numbers over eighteen decades") {
  CHECK(rc::check("bound", [](const std::vector<std::uint32_t>& raw) {
    RC_PRE(!raw.empty());
    std::vector<double> values;
    for (const std::uint32_t r : raw) values.push_back(std::pow(10.0, static_cast<double>(r % 1801) / 100 - 8));
    RC_ASSERT(holds_bound(
        [&] {
          Sketch s(0.01, 8192);
          for (const double v : values) s.add(v);
          return s;
        }(),
        values));
  }));
}

TEST_CASE("merging is the same as adding everything to one sketch, whatever the order") {
  CHECK(rc::check("merge", [](const std::vector<std::uint16_t>& a, const std::vector<std::uint16_t>& b) {
    std::vector<double> x(a.begin(), a.end()), y(b.begin(), b.end()), both = x;
    both.insert(both.end(), y.begin(), y.end());
    Sketch xy = sketch_of(x), yx = sketch_of(y);
    xy.merge(sketch_of(y)), yx.merge(sketch_of(x));
    const Sketch one = sketch_of(both);
    for (const double q : shares) {
      RC_ASSERT(xy.quantile(q) == one.quantile(q));
      RC_ASSERT(yx.quantile(q) == one.quantile(q));
    }
    RC_ASSERT(xy.count() == both.size());
    RC_ASSERT(xy.sum() == one.sum());
  }));
  Sketch fine(0.01);
  CHECK(mentions(error_of([&] { fine.merge(Sketch(0.02)); }), "alpha"));
}

TEST_CASE("a full store collapses its lowest bins and keeps the bound of the high quantiles") {
  Sketch narrow(0.01, 128);  // 128 bins span a factor of 13
  std::vector<double> values;
  for (int i = 0; i < 20'000; ++i) values.push_back(std::pow(10.0, static_cast<double>(i % 1000) / 100 - 3));
  for (const double v : values) narrow.add(v);
  std::sort(values.begin(), values.end());
  CHECK(narrow.bytes() <= 4096);
  CHECK(narrow.count() == values.size());
  for (const double q : {0.95, 0.99, 0.999})
    CHECK(std::abs(*narrow.quantile(q) - exact(values, q)) <= 0.01 * exact(values, q) * (1 + 1e-9));
  Sketch other(0.01, 128);
  other.add(1e-6, 7);
  narrow.merge(other), other.merge(narrow);
  CHECK(narrow.count() == values.size() + 7);
  CHECK(*other.quantile(0.99) == *narrow.quantile(0.99));
}

TEST_CASE("zero, negative, endless and missing values do no harm") {
  Sketch sketch;
  CHECK_FALSE(sketch.quantile(0.5));
  CHECK(sketch.count_up_to(1) == 0);
  for (const double v : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), 5.0}) sketch.add(v);
  sketch.add(7, 0);
  CHECK(sketch.count() == 3);
  CHECK(*sketch.quantile(0.5) == 0);
  CHECK(*sketch.quantile(1) == 5);
  sketch.add(std::numeric_limits<double>::infinity());
  CHECK(std::isfinite(sketch.max()));
  CHECK(mentions(error_of([] { Sketch bad(0); }), "alpha"));
  CHECK(mentions(error_of([] { Sketch bad(1); }), "alpha"));
}

TEST_CASE("counts below a limit add up to a histogram") {
  std::vector<double> values;
  for (int i = 1; i <= 1000; ++i) values.push_back(i);
  const Sketch sketch = sketch_of(values);
  std::uint64_t before = 0;
  for (const double limit : {0.5, 1.0, 10.0, 100.0, 500.0, 1000.0, 1e9}) {
    const std::uint64_t n = sketch.count_up_to(limit);
    CHECK(n >= before);
    CHECK(static_cast<double>(n) >= std::min(limit, 1000.0) * 0.98 - 1);
    CHECK(static_cast<double>(n) <= std::min(limit, 1000.0) * 1.02 + 1);
    before = n;
  }
  CHECK(before == 1000);
}

TEST_CASE("a percentile says when it rests on too few values") {
  CHECK(enough_for(0.99) == 1000);
  CHECK(enough_for(0.9) == 100);
  CHECK(enough_for(0.5) == 20);
  Sketch sketch;
  sketch.add(1, 999);
  CHECK(percentile(sketch, 0.99).n_too_small);
  CHECK(percentile(sketch, 0.99).value.has_value());
  sketch.add(1);
  CHECK_FALSE(percentile(sketch, 0.99).n_too_small);
  CHECK(percentile(Sketch(), 0.5).n_too_small);
}

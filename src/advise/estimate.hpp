// From what a lever would save of each sampled request to a share with an interval.
#pragma once

#include "advise/row.hpp"

#include <frugal/advise/advisor.hpp>

#include <functional>
#include <optional>
#include <vector>

namespace frugal::advisor {

/// Of one request: dollars and ms; NaN = unknown, and the request is left out of that metric.
struct Saved {
  double cost = 0, ttft = 0, e2e = 0;
};

/// The lever's assumption at its cautious, likely and hopeful end.
enum class Level { low, likely, high };
using Reprice = std::function<Saved(const Row&, Level)>;

struct Savings {
  std::optional<Interval> cost{}, ttft{}, e2e{};
};

/// Each metric's saving is a ratio of two sums over rows. Its error is that of the ratio over up to 64 stretches of
/// the trace, or over 16 where these vary more (delta method, Student's t), doubled in variance because the next
/// stretch of traffic varies as this one did; the assumption's ends are added in quadrature. A metric without a
/// recorded total has none.
Savings estimate(const std::vector<Row>& rows, const Reprice& reprice);

/// Two-sided quantile of Student's t for `confidence_level`.
double student(double degrees);

}  // namespace frugal::advisor

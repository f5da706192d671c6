#include "policy/pass_times.hpp"

#include <algorithm>
#include <bit>

namespace frugal {
namespace {

constexpr double own_share = 0.1, others_share = 0.02, doubt = 0.005;
constexpr double most_surprise = 2.0;

}  // namespace

// Up to 32 each for itself, above in steps of a thirty-second: the table stays small.
std::uint32_t PassTimes::rounded(std::uint32_t rows) noexcept {
  if (rows <= 32) return rows;
  const std::uint32_t step = std::bit_floor(rows) / 32;
  return (rows + step - 1) / step * step;
}

void PassTimes::observe(std::uint32_t rows, double seconds) {
  if (!(seconds > 0) || rows == 0) return;
  rows = rounded(rows);
  auto at = std::lower_bound(points_.begin(), points_.end(), rows,
                             [](const Point& p, std::uint32_t r) { return p.rows < r; });
  if (at == points_.end() || at->rows != rows) {
    points_.insert(at, {rows, seconds});
    return;
  }
  const double surprise = std::clamp(seconds / at->seconds, 1 / most_surprise, most_surprise);
  for (Point& p : points_) p.seconds *= 1 + (&p == &*at ? own_share : others_share) * (surprise - 1);
}

void PassTimes::doubt_above(std::uint32_t rows) noexcept {
  const double a_row = seconds(rows) / std::max(rows, 1U);
  for (Point& p : points_)
    if (p.rows > rows) p.seconds -= doubt * std::max(0.0, p.seconds - a_row * p.rows);
}

double PassTimes::seconds(std::uint32_t rows) const noexcept {
  if (points_.empty()) return 0;
  if (points_.size() == 1 || rows <= points_.front().rows) return points_.front().seconds;
  auto above = std::lower_bound(points_.begin() + 1, points_.end(), rows,
                                [](const Point& p, std::uint32_t r) { return p.rows < r; });
  if (above == points_.end()) --above;  // beyond the last, along the last line
  const Point& a = *(above - 1);
  const Point& b = *above;
  const double slope = std::max(0.0, (b.seconds - a.seconds) / (b.rows - a.rows));
  return rows >= b.rows ? b.seconds + slope * (rows - b.rows) : a.seconds + slope * (rows - a.rows);
}

}  // namespace frugal

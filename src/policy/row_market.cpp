#include "policy/row_market.hpp"

#include <cmath>

namespace frugal {

void RowMarket::open(double sequences, const PassTimes& passes) {
  const auto time = [&](double rows) { return passes.seconds(static_cast<std::uint32_t>(std::ceil(rows))); };
  double rows = sequences, tokens = sequences, drafting = 0, best = tokens / time(rows);
  lowest_ = kShelves, left_ = 0;
  for (std::size_t i = kShelves; i-- > 0;) {
    const Shelf& shelf = offered_[i];
    for (double sold = 0; sold < shelf.rows;) {
      const double more = std::min(1.0, shelf.rows - sold), share = more / shelf.rows;
      sold += more, rows += more;
      tokens += shelf.standing * share, drafting += shelf.seconds * share;
      const double goodput = tokens / (time(rows) + drafting);
      if (goodput > best) best = goodput, lowest_ = i, left_ = sold;
    }
  }
  offered_.fill({});
}

std::uint32_t RowMarket::wanted(std::span<const double> standing) const noexcept {
  double left = left_;
  std::uint32_t n = 0;
  for (; n < standing.size(); ++n) {
    const std::size_t shelf = shelf_of(standing[n]);
    if (shelf < lowest_ || (shelf == lowest_ && left < 0.5)) break;
    if (shelf == lowest_) left -= 1;
  }
  return n;
}

void RowMarket::sell(std::span<const double> standing) noexcept {
  for (const double s : standing)
    if (shelf_of(s) == lowest_) left_ -= 1;
}

void RowMarket::offer(std::span<const double> standing, double seconds, double weight) noexcept {
  for (const double s : standing) {
    Shelf& shelf = offered_[shelf_of(s)];
    shelf.rows += weight, shelf.standing += weight * s, shelf.seconds += weight * seconds;
  }
}

}  // namespace frugal

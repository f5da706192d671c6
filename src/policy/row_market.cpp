#include "policy/row_market.hpp"

#include <cmath>

namespace frugal {

// A row more takes at least what a row took on the way from one to here: passes are bound by reading the weights first,
// by computing later, so their time bends upwards. Without that floor a mismeasured pass makes rows look free.
void RowMarket::open(std::uint32_t sequences, const PassTimes& passes, double margin) {
  const double plain = passes.seconds(sequences);
  const double slope = std::max(0.0, plain - passes.seconds(1)) / std::max(1U, sequences - 1);
  const auto time = [&](double rows) {
    return std::max(passes.seconds(static_cast<std::uint32_t>(std::ceil(rows))), plain + slope * (rows - sequences));
  };
  double rows = sequences, tokens = sequences, drafting = 0, best = (1 + margin) * tokens / time(rows);
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

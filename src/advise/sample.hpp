// Sample: an even sample of a stream of unknown length. Every element is kept with one probability, which halves, for
// old and new elements alike, each time the sample is full; the choice depends on the element's ordinal alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "advise/row.hpp"
#include "core/splitmix.hpp"

namespace frugal::advisor {

class Sample {
 public:
  explicit Sample(std::size_t most) : most_(std::max<std::size_t>(most, 64)) {}

  bool wants(std::uint64_t ordinal) const { return splitmix64(ordinal) >> 1U <= limit_; }
  void add(const Row& row) {
    rows_.push_back(row);
    while (rows_.size() > most_) {
      limit_ /= 2;
      std::erase_if(rows_, [this](const Row& r) { return !wants(r.ordinal); });
    }
  }
  /// Null where it was not kept.
  Row* find(std::uint64_t ordinal) {
    const auto at = std::lower_bound(rows_.begin(), rows_.end(), ordinal,
                                     [](const Row& row, std::uint64_t o) { return row.ordinal < o; });
    return at != rows_.end() && at->ordinal == ordinal ? &*at : nullptr;
  }
  template <class Change>
  void each(const Change& change) {
    for (Row& row : rows_) change(row);
  }
  const std::vector<Row>& rows() const { return rows_; }  ///< in the order of submission

 private:
  std::size_t most_;
  std::uint64_t limit_ = ~std::uint64_t{0} >> 1U;
  std::vector<Row> rows_{};
};

}  // namespace frugal::advisor

// RowMarket: which drafts of several sequences are worth their rows. All offer their drafts by how probably they stand;
// the rows of a step go to the most probable ones for as long as that raises the step's tokens a second. One step's
// offers decide the next step's sales: the engine asks its sequences one after the other, and the first must not take
// what the last needs more. Memory is constant; O(rows) a step.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "policy/pass_times.hpp"

namespace frugal {

class RowMarket {
 public:
  /// A new step with so many sequences. Nothing is sold unless that makes at least `margin` more tokens a second.
  void open(std::uint32_t sequences, const PassTimes& passes, double margin);
  /// Leading drafts of a run that are sold at this step's price. `standing` falls.
  std::uint32_t wanted(std::span<const double> standing) const noexcept;
  void sell(std::span<const double> standing) noexcept;
  /// For the next step: with probability `weight` the drafter has an idea; each draft then takes so many seconds beside
  /// its row.
  void offer(std::span<const double> standing, double seconds, double weight) noexcept;

 private:
  static constexpr std::size_t kShelves = 64;
  struct Shelf {
    double rows = 0, standing = 0, seconds = 0;
  };
  static std::size_t shelf_of(double standing) noexcept {
    return static_cast<std::size_t>(std::clamp(standing, 0.0, 1.0) * (kShelves - 1));
  }

  std::array<Shelf, kShelves> offered_{};
  std::size_t lowest_ = kShelves;  // of those sold from; kShelves = nothing is sold
  double left_ = 0;                // rows on that one
};

}  // namespace frugal

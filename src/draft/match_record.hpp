// MatchRecord: how often the token after a match of so many tokens was the one that followed there before. What two
// equal tokens promise in a copied document and in open prose differs by far; counts that fade tell which it is.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace frugal::draft {

class MatchRecord {
 public:
  /// Remembers about `memory` trials of each length.
  explicit MatchRecord(double memory) : keep_(1 - 1 / memory) {}

  void note(std::uint32_t length, bool kept) noexcept {
    Count& c = counts_[place(length)];
    c.trials = c.trials * keep_ + 1;
    c.kept = c.kept * keep_ + (kept ? 1 : 0);
  }
  /// `prior` is what to think without a trial, worth `weight` of them.
  double likely(std::uint32_t length, double prior, double weight) const noexcept {
    const Count& c = counts_[place(length)];
    return (c.kept + prior * weight) / (c.trials + weight);
  }

 private:
  struct Count {
    double trials = 0, kept = 0;
  };
  /// 0 to 8 each for itself, then by doubling, all from 64 on together.
  static std::size_t place(std::uint32_t length) noexcept {
    if (length <= 8) return length;
    return std::min<std::size_t>(5 + static_cast<std::size_t>(std::bit_width(length - 1)), 11);
  }

  double keep_;
  std::array<Count, 12> counts_{};
};

}  // namespace frugal::draft

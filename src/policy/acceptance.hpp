// Acceptance: how probably a draft stands, given that those before it do, by its place in the chain. Counts that fade,
// with a prior worth a few trials: a Beta distribution's mean. Places far from the start share a count.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace frugal {

class Acceptance {
 public:
  /// Remembers about `memory` trials of each place.
  explicit Acceptance(double memory) : keep_(1 - 1 / memory) {}

  void learn(std::uint32_t drafted, std::uint32_t accepted) noexcept {
    for (std::uint32_t i = 0; i < drafted && i <= accepted; ++i) {
      Count& c = counts_[place(i)];
      c.trials = c.trials * keep_ + 1;
      c.kept = c.kept * keep_ + (i < accepted ? 1 : 0);
    }
  }
  /// Of the draft at place i, from 0; `prior` is what to think of it without a trial, worth `weight` of them.
  double at(std::uint32_t i, double prior, double weight) const noexcept {
    const Count& c = counts_[place(i)];
    return (c.kept + prior * weight) / (c.trials + weight);
  }

 private:
  struct Count {
    double trials = 0, kept = 0;
  };
  static constexpr std::array<std::uint8_t, 12> kPlaces{0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 6, 6};
  static constexpr std::size_t place(std::uint32_t i) noexcept { return i < kPlaces.size() ? kPlaces[i] : 7; }

  double keep_;
  std::array<Count, 8> counts_{};
};

}  // namespace frugal

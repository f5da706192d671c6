// P(right) by the nearest known requests: the share of them that a tier answered rightly (Fix and Hodges 1951). Requests
// are compared by the cosine of their embeddings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace frugal::calibrate {

/// Plain values; written to the policy file.
struct Neighbours {
  std::size_t count = 0;  ///< that are asked; at least 1, at most as many as are known
  std::size_t width = 0;  ///< numbers of an embedding
  std::size_t tiers = 0;
  std::vector<float> at{};            ///< [known, width], each of length 1
  std::vector<std::uint8_t> right{};  ///< [known, tiers]: 1 = right, 0 = wrong

  std::size_t known() const { return width == 0 ? 0 : at.size() / width; }
  /// [tiers]: the share of right answers among the nearest to a vector [width] of length 1; of equally near ones, those
  /// that were known first. known * width multiplications. Thread-safe.
  std::vector<double> shares(std::span<const float> vector) const;
};

/// The vector at length 1; empty where that is impossible: zero, or not finite.
std::vector<float> unit(std::span<const float> vector);

}  // namespace frugal::calibrate

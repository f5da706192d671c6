// Sketch: quantiles of positive numbers in little memory, each within a stated relative error; two sketches of one
// accuracy merge into exactly the sketch of both inputs. DDSketch: Masson, Rim, Lee, "DDSketch: a fast and
// fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019.
//
// A plain value, not synchronised. add() costs a logarithm; memory is 8 bytes a bin between the smallest and the
// largest value: with alpha = 0.01 about 116 bins a decade, and at most `most_bins` (the lowest ones then collapse into
// one).
#pragma once

#include <frugal/config.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace frugal {

class FRUGAL_API Sketch {
 public:
  /// `alpha` in (0, 1): a quantile is within alpha times its true value. Throws Error(invalid_argument).
  explicit Sketch(double alpha = 0.01, std::size_t most_bins = 2048);

  /// Adds `value` `count` times. Values below 1e-9, zero and negative ones are counted as zero; NaN is left out.
  void add(double value, std::uint64_t count = 1);
  /// Throws Error(invalid_argument) where the accuracies differ.
  void merge(const Sketch& other);
  void clear();

  /// The value x such that a share q of all values is at most x: the one of rank floor(q (count - 1)) counted from
  /// zero, within alpha of it. q in [0, 1]; none while empty.
  std::optional<double> quantile(double q) const;
  /// How many values are at most `limit`, up to the values within alpha of it.
  std::uint64_t count_up_to(double limit) const;

  std::uint64_t count() const { return count_; }
  double sum() const { return sum_; }  ///< exact
  double min() const { return min_; }  ///< exact; 0 while empty
  double max() const { return max_; }  ///< exact; 0 while empty
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  double alpha() const { return alpha_; }
  std::size_t bytes() const { return bins_.capacity() * sizeof(std::uint64_t); }

 private:
  int bin_of(double value) const;
  double value_of(int bin) const;
  std::uint64_t& bin(int index);

  double alpha_, gamma_, inverse_log_gamma_;
  std::size_t most_bins_;
  int first_ = 0;                    ///< index of bins_[0]: bin i holds (gamma^(i-1), gamma^i]
  std::vector<std::uint64_t> bins_;  ///< [last - first + 1]
  std::uint64_t zeros_ = 0, count_ = 0;
  double sum_ = 0, min_ = 0, max_ = 0;
};

/// A quantile that says when it rests on too few values: at least `enough_for(q)` = 10 / (1 - q) of them, so that some
/// ten lie beyond it (1,000 for a p99, 100 for a p90, 20 for a p50).
struct Percentile {
  std::optional<double> value{};
  std::uint64_t n = 0;
  bool n_too_small = true;
};

FRUGAL_API std::uint64_t enough_for(double q);
FRUGAL_API Percentile percentile(const Sketch& sketch, double q);

}  // namespace frugal

// Nucleus: top-p over a whole row. Finds where the highest logits reach their share of the weight, without a list of all
// that stay: at a high temperature that is most of the vocabulary. Exact: limits only choose what is looked at.
//
// One pass sums the weights above four limits, block by block. The limits come from an estimate: the peaks of all lanes,
// and a sample of the rest. Only the tokens between two limits are listed, and only that list is put in order.
#pragma once

#include "backend/candidates.hpp"
#include "backend/row_kernels.hpp"

#include <frugal/core/ids.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace frugal::backend {

/// A row as the nucleus needs it.
struct WeighedRow {
  std::span<const float> x;
  std::span<const float> peaks;  ///< of lanes: RowKernels::peaks
  WeightScale scale;
};

class Nucleus {
 public:
  /// Keeps the shortest beginning, by logit and then by id, whose weights sum to ceil(top_p * total) or more; at least
  /// one token. `list` is memory to work in.
  void cut(RowPasses& passes, const WeighedRow& row, float top_p, Candidates& list);

  bool keeps(float x, Token id) const noexcept { return x > last_.x || (x == last_.x && id <= last_.id); }
  std::uint64_t whole() const noexcept { return whole_; }  ///< weight of the row
  std::uint64_t total() const noexcept { return total_; }  ///< weight of what is kept
  /// Weight of what is kept, by blocks of row_block.
  std::span<const std::uint64_t> blocks() const noexcept { return kept_; }

 private:
  /// Sums by blocks above the limits; `above` is their sum over the row.
  static constexpr std::size_t width = row_limits + 1;
  using Above = std::array<std::uint64_t, width>;

  void estimate(const RowKernels& kernels, const WeighedRow& row);
  void count(const RowKernels& kernels, WeightScale scale, std::span<const float> x, std::uint64_t times);
  void place_limits(const RowKernels& kernels, const WeighedRow& row, float top_p);
  Above weigh(const RowPasses& passes, const WeighedRow& row);
  void keep_listed(const RowKernels& kernels, WeightScale scale, const Candidates& list);

  Place last_{};
  std::uint64_t whole_ = 0, total_ = 0;
  std::array<float, row_limits> limits_{};  // falling
  std::vector<std::uint64_t> sums_{};       // [blocks][width]
  std::vector<std::uint64_t> kept_{};       // [blocks]
  ListMemory alike_{};                      // as high as the last one: places in the list
  static constexpr std::size_t part_size = 256;
  std::array<std::uint64_t, 320> bins_{};  // the estimate: weight by bins of the logit
  std::uint64_t estimated_ = 0;            // their sum
  double squares_ = 0.0;                   // of the weights that stand for others
};

}  // namespace frugal::backend

// Candidates: the tokens of a row that can survive its filters, in id order, and the filters themselves. Exact: sums
// are whole numbers, and among equal logits the lower id goes first.
#pragma once

#include "backend/row_kernels.hpp"

#include <frugal/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace frugal::backend {

struct Candidates {
  std::vector<Token> ids{};        ///< rising
  std::vector<float> x{};          ///< logits after bias, penalties and mask
  std::vector<std::uint64_t> w{};  ///< weights; filled by weigh()
  std::size_t size = 0;            ///< of the three; their memory is kept

  /// All tokens of a row whose logit is at least `least`.
  void gather(const RowKernels& kernels, const float* row, std::size_t n, float least);
  /// None, with room for n.
  void reserve(std::size_t n);
  void add(Token id, float value);
  void weigh(const RowKernels& kernels, WeightScale scale);

  /// The k with the highest logits.
  void keep_top_k(std::size_t k);
  /// The fewest of the highest logits whose weights sum to `mass` or more; at least one.
  void keep_mass(std::uint64_t mass);
  void keep_weight(std::uint64_t least);

  std::uint64_t total() const noexcept;
  /// The token at `target` in [0, total()) of the running sum.
  Token at(std::uint64_t target) const noexcept;
  /// The k highest logits, best first.
  std::vector<std::size_t> best(std::size_t k) const;

 private:
  /// a stands before b in the order of the filters.
  bool before(std::size_t a, std::size_t b) const noexcept { return x[a] != x[b] ? x[a] > x[b] : a < b; }
  /// Drops all that stand after candidate `last`.
  void cut_after(std::size_t last);
  template <class Keep>
  void keep_if(Keep keep);

  std::vector<std::uint32_t> order_{};
  std::vector<std::uint16_t> bin_{};
  std::vector<std::uint64_t> bins_{};
};

}  // namespace frugal::backend

// Candidates: the tokens of a row that can survive its filters, in id order, and the filters themselves. Exact: sums
// are whole numbers, and among equal logits the lower id goes first.
#pragma once

#include "backend/row_kernels.hpp"
#include "backend/row_passes.hpp"

#include <frugal/config.hpp>
#include <frugal/core/ids.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace frugal::backend {

/// A token's place in the order of the filters.
struct Place {
  float x = 0.0F;
  Token id = -1;
};

/// The logit below which weights are less than `weight` (of 1), and a hundredth of an octave to spare: such limits only
/// choose what is looked at.
float logit_below(WeightScale scale, double weight) noexcept;

/// share * 2^64, rounded down. `share` below 1; below 0 is 0.
FRUGAL_API std::uint64_t share_fraction(float share) noexcept;

/// min_p * 2^40, rounded down, at most weight_one; 0 where min_p is off.
FRUGAL_API std::uint64_t least_weight_of(float min_p) noexcept;

/// ceil(total * share), exact. `share` in [0, 1).
std::uint64_t share_of(std::uint64_t total, float share) noexcept;

/// Where RowKernels::gather writes a list: grows and keeps its size.
struct ListMemory {
  std::vector<float> x{};
  std::vector<Token> ids{};  ///< of tokens, or places in another list
  void reserve(std::size_t n) {
    if (x.size() < n) x.resize(n), ids.resize(n);
  }
};

struct Candidates {
  std::vector<Token> ids{};        ///< rising
  std::vector<float> x{};          ///< logits after bias, penalties and mask
  std::vector<std::uint64_t> w{};  ///< weights; filled by weigh()
  std::size_t size = 0;            ///< of the three; their memory is kept

  /// All tokens of a row whose logit is in the range.
  void gather(RowPasses& passes, std::span<const float> row, LogitRange range);
  /// None, with room for n.
  void reserve(std::size_t n);
  void add(Token id, float value);
  void weigh(const RowKernels& kernels, WeightScale scale);

  /// The k with the highest logits.
  void keep_top_k(std::size_t k);
  /// The last token of the shortest beginning whose weights sum to `mass` or more. All must sum to that. Needs no w.
  Place find_mass(const RowKernels& kernels, WeightScale scale, std::uint64_t mass);
  /// Drops what stands after find_mass(); nothing where all sum to less. Keeps at least one token.
  void keep_mass(const RowKernels& kernels, WeightScale scale, std::uint64_t mass);
  void keep_weight(std::uint64_t least);

  std::uint64_t total() const noexcept;
  /// The token at `target` in [0, total()) of the running sum.
  Token at(std::uint64_t target) const noexcept;
  /// The k highest logits, best first.
  std::vector<std::size_t> best(std::size_t k) const;

 private:
  /// Drops all that stand after `last`.
  void cut_after(Place last);
  template <class Keep>
  void keep_if(Keep keep);

  /// A part of the candidates, by falling range, while a place is looked for. Ids rise.
  struct Part {
    const float* x;
    const Token* ids;
    std::size_t size;
  };
  static Part narrow(const RowKernels& kernels, WeightScale scale, const Part& part, ListMemory& memory,
                     std::uint64_t& mass);
  Place reach(const RowKernels& kernels, WeightScale scale, const Part& part, std::uint64_t mass);
  bool before(std::size_t a, std::size_t b) const noexcept { return x[a] != x[b] ? x[a] > x[b] : a < b; }

  std::array<ListMemory, 2> memory_{};  // by turns
  std::vector<std::uint64_t> part_weights_{};
  std::vector<std::uint32_t> order_{};
};

}  // namespace frugal::backend

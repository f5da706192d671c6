// RowPasses: the kernels' passes over a whole row, in pieces that a team of threads shares where there is one. What comes
// out is the same with any team: block sums and lists are kept piece by piece, and sums are whole numbers.
#pragma once

#include "backend/row_kernels.hpp"

#include <frugal/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace frugal::backend {

/// Threads that help with one row.
class RowTeam {
 public:
  /// Must not throw.
  struct Work {
    const void* self;
    void (*call)(const void* self, std::uint32_t piece);
  };
  /// Calls the work once with each of 0 to pieces - 1, in any order and on any thread of the team; returns when all are
  /// done.
  virtual void run(std::uint32_t pieces, Work work) noexcept = 0;

 protected:
  ~RowTeam() = default;
};

class RowPasses {
 public:
  explicit RowPasses(const RowKernels& kernels) : kernels_(&kernels) {}
  /// Null = the caller alone.
  void set_team(RowTeam* team) noexcept { team_ = team; }
  const RowKernels& kernels() const noexcept { return *kernels_; }

  /// As RowKernels::peaks; `lanes` has row_lanes places for each block.
  Peaks peaks(std::span<const float> x, float* lanes);
  /// out = x where the bit is set, else minus infinity, also beyond the mask's end; and peaks() of that.
  Peaks mask(std::span<const float> x, std::span<const std::uint32_t> bits, float* out, float* lanes);
  /// sums[b] = the weights of block b; returns their sum.
  std::uint64_t weigh(std::span<const float> x, WeightScale scale, std::uint64_t* sums) const;
  /// As RowKernels::weigh_above for each block: sums [blocks][row_limits + 1].
  void weigh_above(std::span<const float> x, WeightScale scale, const float* limits, std::uint64_t* sums) const;
  /// As RowKernels::gather. Both outputs have room for gathered_room(x.size()).
  std::size_t gather(std::span<const float> x, LogitRange range, Token* ids, float* values);
  static std::size_t gathered_room(std::size_t n) noexcept { return n + (n / piece + 1) * row_lanes; }

 private:
  static constexpr std::size_t piece = 8 * row_block;
  static std::uint32_t pieces_of(std::size_t n) noexcept { return static_cast<std::uint32_t>((n + piece - 1) / piece); }
  template <class F>
  void for_pieces(std::size_t n, const F& f) const;

  const RowKernels* kernels_;
  RowTeam* team_ = nullptr;
  std::vector<Peaks> peaks_{};         // [pieces]
  std::vector<std::size_t> counts_{};  // [pieces]
};

}  // namespace frugal::backend

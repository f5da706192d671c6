#include "cuda/paged_plan.hpp"

#include <algorithm>
#include <limits>

namespace frugal::cuda {
namespace {

constexpr std::uint32_t least_chunk = 128;  ///< keys: less is not worth a merge

std::uint32_t over(std::uint64_t n, std::uint64_t by) { return static_cast<std::uint32_t>((n + by - 1) / by); }
std::int32_t whole(std::uint64_t n) { return static_cast<std::int32_t>(n); }

/// The kernels' tiles: few rows read keys with all warps, many share them.
std::uint32_t tile_for(std::uint64_t rows_of_heads, std::uint32_t head_dim) {
  if (rows_of_heads <= 16) return 16;
  return rows_of_heads <= 64 || head_dim >= 256 ? 64 : 128;
}

/// Blocks of one K/V head that keep all multiprocessors busy.
std::uint32_t blocks_wanted(const PagedHeads& heads, std::uint32_t multiprocessors) {
  return std::max<std::uint32_t>(1, 2 * multiprocessors / heads.kv_heads);
}

/// What a launch is made for: the sequences, or as many of the largest that there may be.
std::vector<PagedSequence> shape_of(std::span<const PagedSequence> sequences, const PagedLimits& limits) {
  std::vector<PagedSequence> shape(sequences.begin(), sequences.end());
  if (limits.most_rows != 0) std::fill(shape.begin(), shape.end(), PagedSequence{limits.most_rows, limits.most_keys});
  return shape;
}

class Planner {
 public:
  Planner(std::span<const PagedSequence> sequences, const PagedLimits& limits)
      : sequences_(sequences), limits_(limits), shape_(shape_of(sequences, limits)) {}

  PagedPlan plan() {
    choose_tile();
    choose_chunk();
    const std::uint32_t blocks = blocks_of(plan_.chunk);
    for (const PagedSequence& s : shape_) plan_.parts += s.rows * chunks(s, plan_.chunk);
    fill();
    const auto pad = [&](auto& array) { array.resize(blocks, 0); };
    pad(plan_.block_sequence), pad(plan_.block_tile), pad(plan_.block_chunk), pad(plan_.block_used);
    return std::move(plan_);
  }

 private:
  std::uint32_t chunks(const PagedSequence& s, std::uint32_t chunk) const {
    return paged_chunks(s.keys, limits_.window, plan_.tile, chunk);
  }
  std::uint32_t tiles(const PagedSequence& s) const {
    return over(std::uint64_t{s.rows} * limits_.heads.group(), plan_.tile);
  }
  std::uint32_t blocks_of(std::uint32_t chunk) const {
    std::uint32_t blocks = 0;
    for (const PagedSequence& s : shape_) blocks += tiles(s) * chunks(s, chunk);
    return blocks;
  }

  void choose_tile() {
    std::uint64_t rows = 0;
    for (const PagedSequence& s : shape_) rows += s.rows;
    plan_.tile = tile_for(rows * limits_.heads.group() / shape_.size(), limits_.heads.head_dim);
  }

  /// The smallest of few sizes with which blocks stay within what is wanted; one chunk for all keys where none does.
  void choose_chunk() {
    std::uint32_t longest = 1;
    for (const PagedSequence& s : shape_) longest = std::max(longest, s.keys);
    const std::uint32_t all = over(longest, limits_.page_tokens) * limits_.page_tokens;
    std::uint32_t chunk = over(least_chunk, limits_.page_tokens) * limits_.page_tokens;
    while (chunk < all && blocks_of(chunk) > blocks_wanted(limits_.heads, limits_.multiprocessors)) chunk *= 2;
    plan_.chunk = std::min(chunk, all);
    plan_.split =
        std::any_of(shape_.begin(), shape_.end(), [&](const PagedSequence& s) { return chunks(s, plan_.chunk) > 1; });
  }

  void fill() {
    plan_.row_starts = plan_.page_starts = plan_.out_starts = plan_.part_starts = {0};
    for (std::size_t i = 0; i < sequences_.size(); ++i) add(i, sequences_[i]);
    plan_.rows = static_cast<std::uint32_t>(plan_.row_starts.back());
  }

  void add(std::size_t index, const PagedSequence& s) {
    const std::uint32_t pages = over(s.keys, limits_.page_tokens), count = chunks(s, plan_.chunk);
    for (std::uint32_t tile = 0; tile < tiles(s); ++tile) {
      for (std::uint32_t chunk = 0; chunk < count; ++chunk) {
        plan_.block_sequence.push_back(whole(index)), plan_.block_tile.push_back(whole(tile));
        plan_.block_chunk.push_back(whole(chunk)), plan_.block_used.push_back(1);
      }
    }
    for (std::uint32_t row = 0; row < s.rows; ++row)
      plan_.part_starts.push_back(plan_.part_starts.back() + whole(count));
    plan_.row_starts.push_back(plan_.row_starts.back() + whole(s.rows));
    plan_.page_starts.push_back(plan_.page_starts.back() + whole(pages));
    plan_.last_page.push_back(whole(s.keys - (pages - 1) * limits_.page_tokens));
    plan_.out_starts.push_back(plan_.out_starts.back() + whole(std::uint64_t{s.rows} * (plan_.split ? count : 1)));
  }

  std::span<const PagedSequence> sequences_;
  const PagedLimits& limits_;
  std::vector<PagedSequence> shape_;
  PagedPlan plan_;
};

}  // namespace

std::uint32_t paged_chunks(std::uint32_t keys, std::uint32_t window, std::uint32_t tile, std::uint32_t chunk) {
  const std::uint64_t most = window == 0 ? keys : std::min<std::uint64_t>(keys, std::uint64_t{window} - 1 + tile);
  return over(std::max<std::uint64_t>(most, 1), chunk);
}

/// A split plan has no more blocks than are wanted, and a block no more rows than its tile.
std::uint64_t paged_workspace(const PagedHeads& heads, std::uint32_t multiprocessors, std::uint32_t element) {
  const std::uint64_t rows = std::uint64_t{blocks_wanted(heads, multiprocessors)} * tile_for(1U << 16, heads.head_dim);
  return rows * heads.kv_heads * (std::uint64_t{heads.head_dim} * element + sizeof(float));
}

PagedPlan plan_paged(std::span<const PagedSequence> sequences, const PagedLimits& limits) {
  return Planner(sequences, limits).plan();
}

}  // namespace frugal::cuda

// PagedPlan: how a step's attention over pages is cut into blocks. A block is one tile of a sequence's query rows (each
// row once for every query head of a group) against one chunk of its keys; one runs for every K/V head. Plain host code,
// so that all of it is tested without a device. The arrays are those that FlashInfer's prefill kernel for pages reads
// (headers of 0.7.2.post1); the planning is ours, theirs asks the device.
#pragma once

#include "cuda/paged.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace frugal::cuda {

/// Rows stand at the end of the keys: row i of `rows` sees the keys up to number keys - rows + i. Keys are counted from
/// the first of its pages.
struct PagedSequence {
  std::uint32_t rows = 0, keys = 0;
};

struct PagedLimits {
  PagedHeads heads{};
  std::uint32_t page_tokens = 0, window = 0;
  std::uint32_t multiprocessors = 0;
  /// Other than 0: no sequence has more rows or keys, and all that the shape of a launch depends on is made for that
  /// many of each, so that steps of as many sequences differ in the arrays' content alone.
  std::uint32_t most_rows = 0, most_keys = 0;
};

struct PagedPlan {
  std::uint32_t tile = 0;             ///< rows of a tile, counted once for every query head of a group: 16, 64 or 128
  std::uint32_t chunk = 0;            ///< keys of a chunk, a multiple of a page
  std::uint32_t rows = 0, parts = 0;  ///< parts: rows of all partial results at most, where it is split
  bool split = false;                 ///< more than one chunk: partial results are merged afterwards
  // Of each block. Unused ones pad a launch.
  std::vector<std::int32_t> block_sequence, block_tile, block_chunk;
  std::vector<std::uint8_t> block_used;
  // Of each sequence; starts have one more.
  std::vector<std::int32_t> row_starts, page_starts, last_page;
  std::vector<std::int32_t> out_starts;   ///< its first result, or partial result
  std::vector<std::int32_t> part_starts;  ///< of each row, and one more: its first partial result

  std::uint32_t blocks() const { return static_cast<std::uint32_t>(block_sequence.size()); }
};

/// Every sequence has rows and keys. Deterministic; splits only where that keeps the blocks within two a
/// multiprocessor. Cost: linear in blocks and rows.
PagedPlan plan_paged(std::span<const PagedSequence> sequences, const PagedLimits& limits);

/// What a sequence's tile may read at most, and in how many chunks.
std::uint32_t paged_chunks(std::uint32_t keys, std::uint32_t window, std::uint32_t tile, std::uint32_t chunk);

/// The bytes of partial results that any plan needs at most, in elements of so many bytes.
std::uint64_t paged_workspace(const PagedHeads& heads, std::uint32_t multiprocessors, std::uint32_t element);

}  // namespace frugal::cuda

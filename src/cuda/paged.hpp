// Attention that reads keys and values where they lie in pages: what its kernels are given. The kernels for devices are
// FlashInfer's (FRUGAL_FLASHINFER); the plan that they follow is ours (paged_plan.hpp), and so is their twin on the host.
#pragma once

#include "cuda/numbers.hpp"

#include <cstdint>

namespace frugal::cuda {

struct PagedHeads {
  std::uint32_t heads = 0, kv_heads = 0, head_dim = 0;
  std::uint32_t group() const { return heads / kv_heads; }
};

/// Pointers are the device's; arrays of the plan are those of PagedPlan.
struct PagedAttention {
  PagedHeads heads{};
  const void* q = nullptr;                        ///< [rows, heads, head_dim]; the elements of a head lie side by side
  std::uint32_t q_row = 0, q_head = 0;            ///< elements between rows, between heads
  void* out = nullptr;                            ///< [rows, heads, head_dim]
  const void *keys = nullptr, *values = nullptr;  ///< of the layer in page 0: [token][kv head][head_dim]
  std::uint32_t granule = 0;                      ///< elements between neighbouring page numbers
  std::uint32_t page_tokens = 0, window = 0;      ///< window 0 = all keys up to a row's own
  float scale = 0.0F;

  std::uint32_t sequences = 0, rows = 0, blocks = 0, tile = 0;
  bool split = false;
  const std::int32_t *block_sequence = nullptr, *block_tile = nullptr, *block_chunk = nullptr;
  const std::uint8_t* block_used = nullptr;
  const std::int32_t *row_starts = nullptr, *page_starts = nullptr, *last_page = nullptr, *pages = nullptr;
  const std::int32_t *out_starts = nullptr, *part_starts = nullptr, *chunk = nullptr;
  void* parts = nullptr;     ///< where it is split: [parts, heads, head_dim]
  float* weights = nullptr;  ///< [parts, heads]: the base-2 logarithm of the sum of each part's exponentials
};

}  // namespace frugal::cuda

// FlashInfer's attention over pages for heads of one size, called with our plan. Its headers are seen here only; its
// errors, which it throws and returns, end here.
#pragma once

#include "cuda/flashinfer.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <exception>

#include <flashinfer/attention/default_prefill_params.cuh>
#include <flashinfer/attention/mask.cuh>
#include <flashinfer/attention/prefill.cuh>
#include <flashinfer/attention/variants.cuh>
#include <flashinfer/page.cuh>
#include <flashinfer/pos_enc.cuh>

namespace frugal::cuda {

template <class T>
flashinfer::BatchPrefillPagedParams<T, T, T, std::int32_t> flashinfer_params(const PagedAttention& a) {
  const auto whole = [](const std::int32_t* p) { return const_cast<std::int32_t*>(p); };
  const auto elements = [](const void* p) { return static_cast<T*>(const_cast<void*>(p)); };
  const std::int64_t strides[] = {a.granule, std::int64_t{a.heads.kv_heads} * a.heads.head_dim, a.heads.head_dim};
  const flashinfer::paged_kv_t<T, std::int32_t> pages(
      a.heads.kv_heads, a.page_tokens, a.heads.head_dim, a.sequences, flashinfer::QKVLayout::kNHD, elements(a.keys),
      elements(a.values), strides, whole(a.pages), whole(a.page_starts), whole(a.last_page));
  flashinfer::BatchPrefillPagedParams<T, T, T, std::int32_t> p(
      elements(a.q), pages, nullptr, whole(a.row_starts), nullptr, nullptr, static_cast<T*>(a.out), nullptr, nullptr,
      a.heads.heads, static_cast<std::int32_t>(a.q_row), static_cast<std::int32_t>(a.q_head),
      static_cast<std::int32_t>(a.window) - 1, 0.0F, a.scale, 1.0F, 1.0F);
  p.request_indices = whole(a.block_sequence), p.qo_tile_indices = whole(a.block_tile);
  p.kv_tile_indices = whole(a.block_chunk), p.kv_chunk_size_ptr = whole(a.chunk);
  p.block_valid_mask = reinterpret_cast<bool*>(const_cast<std::uint8_t*>(a.block_used));
  p.o_indptr = whole(a.out_starts), p.merge_indptr = whole(a.part_starts);
  p.padded_batch_size = a.blocks, p.max_total_num_rows = a.rows;
  return p;
}

/// The variant with a window serves all: without one every key is within it.
template <class T, std::uint32_t HeadDim, std::uint32_t Tile>
int flashinfer_run(const PagedAttention& a, void* stream) {
  using Params = flashinfer::BatchPrefillPagedParams<T, T, T, std::int32_t>;
  using Variant = flashinfer::DefaultAttention<false, true, false, false>;
  return flashinfer::BatchPrefillWithPagedKVCacheDispatched<true, Tile, HeadDim, HeadDim,
                                                            flashinfer::PosEncodingMode::kNone, false,
                                                            flashinfer::MaskMode::kCausal, Variant, Params>(
      flashinfer_params<T>(a), a.split ? static_cast<T*>(a.parts) : nullptr, a.weights, false,
      static_cast<cudaStream_t>(stream));
}

template <class T, std::uint32_t HeadDim>
int flashinfer_with_tile(const PagedAttention& a, void* stream) {
  switch (a.tile) {
    case 16:
      return flashinfer_run<T, HeadDim, 16>(a, stream);
    case 64:
      return flashinfer_run<T, HeadDim, 64>(a, stream);
    case 128:
      if constexpr (HeadDim < 256) return flashinfer_run<T, HeadDim, 128>(a, stream);
      [[fallthrough]];
    default:
      return cudaErrorInvalidValue;
  }
}

template <std::uint32_t HeadDim>
int flashinfer_heads(const PagedAttention& a, Element type, void* stream) noexcept {
  try {
    if (type == Element::bf16) return flashinfer_with_tile<nv_bfloat16, HeadDim>(a, stream);
    if (type == Element::f16) return flashinfer_with_tile<half, HeadDim>(a, stream);
    return cudaErrorInvalidValue;
  } catch (const std::exception&) {  // it throws where a device's shared memory is too small
    const cudaError_t last = cudaGetLastError();
    return last != cudaSuccess ? last : cudaErrorNotSupported;
  }
}

}  // namespace frugal::cuda

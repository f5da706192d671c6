// Attention that reads pages where they lie, by FlashInfer's kernels: no gather. The plan of a step is made on the host
// and travels in the step's parcel; one plan serves all layers of a kind.
#pragma once

#include <frugal/backend/batch.hpp>
#include <frugal/model/decoder_spec.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

#include "cuda/kernels.hpp"
#include "torch/device.hpp"
#include "torch/lane.hpp"
#include "torch/parcel.hpp"
#include "torch/step_graphs.hpp"

namespace frugal::aten {

struct KvView;

/// What a step's layers of one kind share of a call: its arrays are in the parcel.
struct PagedStep {
  cuda::PagedAttention call;  // without what differs from layer to layer
  std::uint32_t parts = 0;
  struct Slots {
    Parcel::Slot block_sequence, block_tile, block_chunk, block_used, row_starts, page_starts, last_page, pages,
        out_starts, part_starts, chunk;
  } slots{};
};

class PagedCalls {
 public:
  /// Throws Error(unavailable) where the model's heads are not served.
  static void check(const DecoderSpec& spec, const Device& device);
  /// Of a model that was checked. `device` and `lane` outlive it.
  PagedCalls(const DecoderSpec& spec, const Device& device, const Lane& lane);

  struct Paging {
    std::int64_t window = 0, page_tokens = 0;
    const StepShape* shape = nullptr;  // null = as the segments are
    std::int64_t pages = 0;            // with a shape: of a sequence at most
    std::int64_t scratch = 0;          // a page that belongs to nobody
  };
  PagedStep plan(std::span<const Segment> segments, const Paging& paging, Parcel& parcel) const;
  /// After the parcel was settled.
  PagedStep finish(PagedStep step, const Parcel& parcel) const;
  /// q [rows, heads, head_dim] -> [rows, heads * head_dim].
  at::Tensor run(const PagedStep& step, const at::Tensor& q, const KvView& kv, std::int64_t layer) const;

  /// Bytes of partial results that a step needs at most.
  std::size_t workspace_bytes() const;

 private:
  cuda::PagedHeads heads() const { return {spec_.heads, spec_.kv_heads, spec_.head_dim}; }

  const DecoderSpec& spec_;
  const Device& device_;
  const Lane& lane_;
  std::uint32_t multiprocessors_;
};

}  // namespace frugal::aten

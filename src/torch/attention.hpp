// Attention of all rows of a step over pages of the arena: one gather a layer for all sequences, then either one fused
// call for all of them (LibTorch's FlashAttention with its lengths of sequences; half precision on CUDA), or one call a
// sequence. Or, where asked for, no gather and one call over pages (paged_attention.hpp). Query heads that share a K/V head are never repeated.
#pragma once

#include <frugal/backend/batch.hpp>
#include <frugal/model/decoder_spec.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "torch/paged_attention.hpp"
#include "torch/parcel.hpp"
#include "torch/step_graphs.hpp"

namespace frugal::aten {

/// One model's keys and values in the arena: page g starts at element g * granule and is [layer][K|V][token][kv head *
/// head_dim].
struct KvView {
  at::Tensor arena;  // 1-d, compute type
  std::int64_t granule = 0, pages = 0, page_tokens = 0, width = 0;

  /// Keys (or values) of a layer as [granules, page_tokens, width]; rows of neighbouring granules overlap, only page
  /// starts are named.
  at::Tensor layer(std::int64_t index, bool value) const;
};

/// One sequence's rows and keys in a step. Keys are counted from the first page that any row attends to.
struct SequencePlan {
  std::int64_t first_row = 0, rows = 0, start = 0;
  std::int64_t first_position = 0;  // of its first key
  std::int64_t first_key = 0;       // where its keys begin among those of all sequences
  at::Tensor mask{};                // additive, [group * rows, keys]; undefined where a single row sees every key

  std::int64_t end() const { return start + rows; }
  std::int64_t keys() const { return end() - first_position; }
};

/// What attention in layers of one kind needs: those that attend to all positions, or those with a window.
struct AttentionPlan {
  std::int64_t window = 0;  // 0 = all positions
  at::Tensor pages;         // of all sequences, one after the other
  std::vector<SequencePlan> sequences;
  // For the fused call: where each sequence's rows and keys begin, and how many keys it has. Keys that fill the last
  // page of a sequence belong to nobody.
  at::Tensor row_starts, key_starts, key_counts;  // int32 [sequences + 1], [sequences + 1], [sequences]
  std::int64_t most_rows = 0, most_keys = 0;
  PagedStep paged{};  // instead of all that
};

/// Whether LibTorch has the fused call for this device, type and head; found out by calling it.
bool has_fused_attention(c10::Device device, c10::ScalarType type, std::int64_t head_dim);

class Attention {
 public:
  Attention(const DecoderSpec& spec, c10::ScalarType compute) : spec_(spec), compute_(compute) {}

  /// Chooses between one call for all sequences and one for each.
  void use_fused(bool fused) { fused_ = fused && spec_.attention_softcap == 0.0F; }

  /// Instead of all gathers.
  void use_paged(std::unique_ptr<const PagedCalls> paged) { paged_ = std::move(paged); }
  const PagedCalls* paged() const { return paged_.get(); }

  /// Puts a step's arrays into `parcel`; finish() takes them out on the device, once it was sent. A padded step needs one
  /// call for all.
  class Planned;
  struct Paging {
    std::int64_t window = 0, page_tokens = 0;
    const StepShape* shape = nullptr;  // null = as the segments are
    std::int64_t scratch = 0;          // a page that belongs to nobody
  };
  Planned plan(std::span<const Segment> segments, const Paging& paging, Parcel& parcel) const;
  bool is_one_call() const { return fused_ || paged_ != nullptr; }
  /// `positions` [rows] of the step, `counting` = 0, 1, 2, ... on the device.
  AttentionPlan finish(Planned planned, const Parcel& parcel, const at::Tensor& positions,
                       const at::Tensor& counting) const;

  /// q [rows, heads, head_dim] -> [rows, heads * head_dim].
  at::Tensor run(const AttentionPlan& plan, const at::Tensor& q, const KvView& kv, std::int64_t layer) const;

 private:
  static std::int64_t padded_pages(const Paging& p);
  at::Tensor fused(const AttentionPlan& plan, const at::Tensor& q, const at::Tensor& keys,
                   const at::Tensor& values) const;
  at::Tensor one(const SequencePlan& s, const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values) const;
  at::Tensor capped(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                    const at::Tensor& mask) const;
  at::Tensor mask(const SequencePlan& s, std::int64_t window, const at::Tensor& positions,
                  const at::Tensor& counting) const;

  const DecoderSpec& spec_;
  c10::ScalarType compute_;
  bool fused_ = false;
  std::unique_ptr<const PagedCalls> paged_;
};

class Attention::Planned {
 private:
  friend class Attention;
  AttentionPlan plan;
  Parcel::Slot pages, row_starts, key_starts, key_counts;
};

}  // namespace frugal::aten

// Decoder: DecoderSpec's forward pass over all rows of a batch at once. Linear layers see one [rows, d] matrix;
// attention is in attention.hpp.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/model/model.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "torch/attention.hpp"
#include "torch/ops.hpp"
#include "torch/rope_table.hpp"
#include "torch/weights.hpp"

namespace frugal::aten {

/// What layers of one kind share: those that attend to all positions, or those with a window.
struct LayerPlan {
  at::Tensor angles;    // of all positions, for the kernel that turns heads
  at::Tensor cos, sin;  // fp32 [rows, 1, rope_dims / 2], where LibTorch's operations do
  AttentionPlan attention;
};

/// What all layers of a step share, on the device.
struct StepPlan {
  at::Tensor tokens, row_pages, row_slots, positions;  // [rows]
  LayerPlan full, windowed;                            // each empty where no layer is of that kind
};

/// Where a step's arrays lie in its parcel.
struct PlannedStep {
  Parcel::Slot tokens, row_pages, row_slots, positions;
  std::optional<Attention::Planned> full, windowed;
};

/// Rows whose logits are made at a time: a prefill that asks for all of them would not fit otherwise.
inline constexpr std::uint32_t head_rows = 256;

class Decoder {
 public:
  /// `device` and `lane` outlive the decoder.
  Decoder(std::shared_ptr<const Model> model, const Device& device, const Lane& lane);

  const Model& model() const { return *model_; }
  const DecoderSpec& spec() const { return model_->spec(); }
  std::size_t kv_bytes_per_token() const;
  /// Bytes that a pass of so many rows takes at most for activations, keys of the arena that it gathers left out.
  std::size_t workspace_bytes(std::uint32_t rows) const;
  /// `scratch`: a page of the arena that belongs to nobody, for rows that pad a step.
  void bind(const at::Tensor& arena, const PageGeometry& geometry, std::int64_t scratch);
  const KvView& kv() const { return kv_; }

  /// Puts a step's arrays into `parcel`. Waits only where a position is the first beyond all tables.
  PlannedStep plan(std::span<const Segment> segments, const StepShape* shape, Parcel& parcel);
  /// Whether a step queues the same work whatever its content: attention is one call, nothing is chosen by the host.
  bool can_be_recorded() const;
  /// Goes up when tables that a step reads lie elsewhere.
  std::uint64_t moves() const { return moves_; }
  /// After the parcel was settled.
  StepPlan finish(PlannedStep planned, const Parcel& parcel) const;
  /// The residual stream after the first `layers` layers, fp32 [rows, d_model]; writes K/V of every row in them. `after`
  /// is shown the stream before the first layer (0) and after each (1, 2, ...).
  at::Tensor run(const StepPlan& plan, std::uint32_t layers,
                 const std::function<void(std::uint32_t layer, const at::Tensor& x)>& after) const;
  /// The final norm, fp32.
  at::Tensor normed(const at::Tensor& hidden) const;
  /// Logits on the device, [rows, vocab], in the compute type or fp32.
  at::Tensor logits(const at::Tensor& hidden) const;

 private:
  at::Tensor norm(const at::Tensor& x, const at::Tensor& gain) const;
  at::Tensor add_norm(at::Tensor& x, const at::Tensor& y, const at::Tensor& gain) const;
  at::Tensor turn_and_store(const LayerWeights& w, std::int64_t layer, const at::Tensor& qkv, const StepPlan& step,
                            const LayerPlan& plan) const;
  at::Tensor rotate(const at::Tensor& heads, const LayerPlan& plan) const;
  at::Tensor attention(const LayerWeights& w, std::int64_t layer, const at::Tensor& h, const StepPlan& step) const;
  at::Tensor gated(const GatedWeights& w, const at::Tensor& h) const;
  at::Tensor feed_forward(const LayerWeights& w, const at::Tensor& h) const;
  at::Tensor activated(const at::Tensor& gate_up) const;
  at::Tensor mixture(const LayerWeights& w, const at::Tensor& h) const;
  at::Tensor routed(const LayerWeights& w, const at::Tensor& h, const at::Tensor& scores) const;
  at::Tensor routed_by_host(const LayerWeights& w, const at::Tensor& h, const at::Tensor& scores) const;

  void cover(std::int64_t positions);
  LayerPlan finish(Attention::Planned planned, const Parcel& parcel, const at::Tensor& positions,
                   const RopeTable& table) const;

  std::shared_ptr<const Model> model_;
  const Device& device_;
  Ops ops_;
  std::shared_ptr<const LoadedWeights> weights_;
  RopeTable angles_;
  std::optional<RopeTable> local_angles_;  // of layers that rotate in their own way
  at::Tensor counting_;                    // int64 0, 1, 2, ... as far as positions went
  Attention attention_;
  KvView kv_;
  std::int64_t scratch_ = 0;
  std::uint64_t moves_ = 0;
};

}  // namespace frugal::aten

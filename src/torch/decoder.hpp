// Decoder: DecoderSpec's forward pass over all rows of a batch at once. Linear layers see one [rows, d] matrix;
// attention runs once a segment over the gathered pages (LibTorch has no paged attention), with query heads that share
// a K/V head folded into rows so that keys are never repeated.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/model/model.hpp>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "torch/weights.hpp"

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

/// One segment as attention sees it.
struct SegmentPlan {
  std::int64_t first_row = 0, rows = 0, start = 0;
  std::int64_t first_position = 0;  // of the earliest key any row attends to, at the start of a page
  at::Tensor pages{};               // [pages from first_position on]
  at::Tensor mask{};                // additive, [group * rows, keys]; undefined where a single row sees every key

  std::int64_t end() const { return start + rows; }
};

/// What layers of one kind share: those that attend to all positions, or those with a window.
struct LayerPlan {
  at::Tensor cos, sin;  // fp32 [rows, 1, rope_dims / 2]
  std::vector<SegmentPlan> segments;
};

/// What all layers of a step share, on the device.
struct StepPlan {
  at::Tensor tokens, row_pages, row_slots;  // [rows]
  LayerPlan full, windowed;                 // each empty where no layer is of that kind
};

class Decoder {
 public:
  Decoder(std::shared_ptr<const Model> model, const Device& device);

  const Model& model() const { return *model_; }
  const DecoderSpec& spec() const { return model_->spec(); }
  std::size_t kv_bytes_per_token() const;
  void bind(const at::Tensor& arena, const PageGeometry& geometry);
  const KvView& kv() const { return kv_; }

  StepPlan plan(std::span<const Segment> segments) const;
  /// The residual stream after the first `layers` layers, fp32 [rows, d_model]; writes K/V of every row in them. `after`
  /// is shown the stream before the first layer (0) and after each (1, 2, ...).
  at::Tensor run(const StepPlan& plan, std::uint32_t layers,
                 const std::function<void(std::uint32_t layer, const at::Tensor& x)>& after) const;
  /// The final norm, fp32.
  at::Tensor normed(const at::Tensor& hidden) const;
  /// fp32 logits on the host, [rows, vocab].
  at::Tensor logits(const at::Tensor& hidden) const;

 private:
  at::Tensor norm(const at::Tensor& x, const at::Tensor& gain) const;
  at::Tensor rotate(const at::Tensor& heads, const LayerPlan& plan) const;
  at::Tensor attention(const LayerWeights& w, std::int64_t layer, const at::Tensor& h, const StepPlan& step) const;
  at::Tensor attend(const SegmentPlan& s, const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values) const;
  at::Tensor capped_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                              const at::Tensor& mask) const;
  at::Tensor gated(const GatedWeights& w, const at::Tensor& h) const;
  at::Tensor feed_forward(const LayerWeights& w, const at::Tensor& h) const;
  at::Tensor mixture(const LayerWeights& w, const at::Tensor& h) const;

  void plan_rows(std::span<const Segment> segments, StepPlan& plan) const;
  LayerPlan plan_layers(std::span<const Segment> segments, std::int64_t window) const;
  void plan_attention(std::span<const Segment> segments, std::int64_t window, LayerPlan& plan) const;
  void plan_angles(std::span<const Segment> segments, bool local, LayerPlan& plan) const;
  at::Tensor mask(const SegmentPlan& s, std::int64_t window) const;

  std::shared_ptr<const Model> model_;
  Device device_;
  std::shared_ptr<const LoadedWeights> weights_;
  std::vector<double> frequencies_, local_frequencies_;
  KvView kv_;
};

}  // namespace frugal::aten

#include "torch/decoder.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/index.h>
#include <ATen/ops/index_put.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "backend/rope.hpp"

namespace frugal::aten {
namespace {

std::int64_t wide(std::size_t n) { return static_cast<std::int64_t>(n); }

/// A model that is not served is refused before its weights are loaded.
std::shared_ptr<const Model> served(std::shared_ptr<const Model> model, const Device& device) {
  if (device.paged) PagedCalls::check(model->spec(), device);
  return model;
}

}  // namespace

Decoder::Decoder(std::shared_ptr<const Model> model, const Device& device, const Lane& lane)
    : model_(served(std::move(model), device)),
      device_(device),
      ops_(device, lane),
      weights_(shared_weights(model_, device)),
      angles_(backend::rope_frequencies(model_->spec()), model_->spec().rope_scale, device.device),
      attention_(model_->spec(), device.compute) {
  if (device.paged) attention_.use_paged(std::make_unique<PagedCalls>(spec(), device_, lane));
  if (std::vector<double> local = backend::local_rope_frequencies(spec()); !local.empty())
    local_angles_.emplace(std::move(local), spec().rope_scale, device.device);
}

std::size_t Decoder::kv_bytes_per_token() const {
  return std::size_t{2} * spec().layers * spec().kv_width() * c10::elementSize(device_.compute);
}

/// The widest moment of a layer: residual stream, its sum, the norm, and either q|k|v in both types or gate|up and their
/// product; then a head's piece of logits with copies for what the host asks for, or a slice of packed weights that was
/// expanded. Attention that is written out has its scores beside that.
std::size_t Decoder::workspace_bytes(std::uint32_t rows) const {
  const DecoderSpec& s = spec();
  const std::size_t element = c10::elementSize(device_.compute), streams = std::size_t{s.d_model} * (3 * 4 + element);
  const std::size_t qkv = std::size_t{s.q_width() + 2 * s.kv_width()} * (element + 3 * 4);
  const std::size_t ffn = std::size_t{std::max(s.d_ff, s.experts.d_ff + s.experts.shared_d_ff)} * 4 * element;
  // Few rows pass their experts all at once.
  const std::size_t choices = std::size_t{std::min(rows, cuda::routed_rows)} * s.experts.used;
  const std::size_t experts = choices * (std::size_t{s.experts.d_ff} * 4 * element + s.d_model * (element + 2 * 4));
  const std::size_t head = std::size_t{std::min(rows, head_rows)} * s.vocab * (element + 2 * 4);
  const std::size_t widest = std::size_t{s.d_model} * std::max({s.vocab, 2 * s.d_ff, s.q_width() + 2 * s.kv_width()});
  const std::size_t expanded =
      device_.kernels == nullptr ? 0 : std::min(widest, static_cast<std::size_t>(expanded_elements)) * element;
  const std::size_t parts = attention_.paged() == nullptr ? 0 : attention_.paged()->workspace_bytes();
  return rows * (streams + std::max(qkv, ffn)) + std::max({head, expanded, experts}) + parts;
}

void Decoder::bind(const at::Tensor& arena, const PageGeometry& geometry, std::int64_t scratch) {
  scratch_ = scratch;
  const std::size_t bytes = static_cast<std::size_t>(arena.numel());
  kv_.arena = arena.view(device_.compute);
  kv_.granule = wide(granule_bytes / c10::elementSize(device_.compute));
  kv_.pages = bytes < geometry.page_bytes ? 0 : wide((bytes - geometry.page_bytes) / granule_bytes + 1);
  kv_.page_tokens = geometry.page_tokens;
  kv_.width = spec().kv_width();
  cover(1);
  attention_.use_fused(has_fused_attention(device_.device, device_.compute, spec().head_dim));
}

bool Decoder::can_be_recorded() const {
  const std::vector<LayerWeights>& layers = weights_->weights.layers;
  const bool chosen_there = std::all_of(layers.begin(), layers.end(), [&](const LayerWeights& w) {
    return !w.router.defined() || ops_.has_experts(w.experts, spec().experts, head_rows);
  });
  return attention_.is_one_call() && ops_.has_rope_append(spec()) && chosen_there;
}

at::Tensor Decoder::run(const StepPlan& plan, std::uint32_t layers,
                        const std::function<void(std::uint32_t, const at::Tensor&)>& after) const {
  at::Tensor x = ops_.rows(weights_->weights.embedding, plan.tokens).to(at::kFloat);
  if (spec().embedding_scale != 1.0F) x = x * static_cast<double>(spec().embedding_scale);
  after(0, x);
  const std::vector<LayerWeights>& all = weights_->weights.layers;
  at::Tensor h = layers > 0 ? norm(x, all.front().attn_norm) : at::Tensor();
  for (std::uint32_t l = 0; l < layers; ++l) {
    const LayerWeights& w = all[l];
    at::Tensor mixed = attention(w, wide(l), h, plan);
    if (w.post_attention_norm.defined()) mixed = norm(mixed, w.post_attention_norm);
    at::Tensor fed = feed_forward(w, add_norm(x, mixed, w.ffn_norm));
    if (w.post_ffw_norm.defined()) fed = norm(fed, w.post_ffw_norm);
    if (l + 1 < layers)
      h = add_norm(x, fed, all[l + 1].attn_norm);
    else
      x = x + fed;
    after(l + 1, x);
  }
  return x;
}

at::Tensor Decoder::logits(const at::Tensor& hidden) const {
  at::Tensor y = ops_.linear(norm(hidden, weights_->weights.output_norm), weights_->weights.head);
  if (const double cap = static_cast<double>(spec().logit_softcap); cap != 0.0)
    y = at::tanh(y.to(at::kFloat) / cap) * cap;
  return y;
}

at::Tensor Decoder::normed(const at::Tensor& hidden) const {
  return at::rms_norm(hidden, {hidden.size(-1)}, weights_->weights.output_norm, static_cast<double>(spec().rms_eps));
}

at::Tensor Decoder::norm(const at::Tensor& x, const at::Tensor& gain) const {
  return ops_.norm(x, gain, spec().rms_eps);
}

/// Experts give their sum in fp32.
at::Tensor Decoder::add_norm(at::Tensor& x, const at::Tensor& y, const at::Tensor& gain) const {
  if (y.scalar_type() == device_.compute) return ops_.add_norm(x, y, gain, spec().rms_eps);
  x = x + y;
  return norm(x, gain);
}

/// RoPE on [rows, heads, head_dim] in fp32.
at::Tensor Decoder::rotate(const at::Tensor& heads, const LayerPlan& plan) const {
  const std::int64_t dims = spec().rope_dims, half = dims / 2, rest = spec().head_dim - dims;
  const at::Tensor turning = heads.narrow(2, 0, dims);
  at::Tensor turned;
  if (spec().rope_layout == RopeLayout::adjacent) {
    const at::Tensor pairs = turning.reshape({heads.size(0), heads.size(1), half, 2});
    const at::Tensor a = pairs.select(3, 0), b = pairs.select(3, 1);
    turned = at::stack({a * plan.cos - b * plan.sin, b * plan.cos + a * plan.sin}, 3).flatten(2);
  } else {
    const at::Tensor a = turning.narrow(2, 0, half), b = turning.narrow(2, half, half);
    turned = at::cat({a * plan.cos - b * plan.sin, b * plan.cos + a * plan.sin}, 2);
  }
  return rest == 0 ? turned : at::cat({turned, heads.narrow(2, dims, rest)}, 2);
}

at::Tensor Decoder::attention(const LayerWeights& w, std::int64_t layer, const at::Tensor& h,
                              const StepPlan& step) const {
  const LayerPlan& plan = spec().window(static_cast<std::size_t>(layer)) != 0 ? step.windowed : step.full;
  const at::Tensor qkv =
      ops_.linear(h, w.qkv, w.qkv_bias).view({h.size(0), spec().heads + 2 * spec().kv_heads, spec().head_dim});
  const at::Tensor q =
      ops_.has_rope_append(spec())
          ? ops_.rope_append(qkv, {step.row_pages, step.row_slots, step.positions, plan.angles, w.qk_gain}, spec(), kv_,
                             layer)
          : turn_and_store(w, layer, qkv, step, plan);
  return ops_.linear(attention_.run(plan.attention, q, kv_, layer), w.output);
}

/// What Ops::rope_append does, in LibTorch's operations.
at::Tensor Decoder::turn_and_store(const LayerWeights& w, std::int64_t layer, const at::Tensor& qkv,
                                   const StepPlan& step, const LayerPlan& plan) const {
  const std::int64_t rows = qkv.size(0), heads = spec().heads, kv_heads = spec().kv_heads, d = spec().head_dim;
  at::Tensor qk = qkv.narrow(1, 0, heads + kv_heads).to(at::kFloat);
  if (w.qk_gain.defined()) qk = at::rms_norm(qk, {d}, {}, static_cast<double>(spec().rms_eps)) * w.qk_gain;
  qk = rotate(qk, plan).to(device_.compute);
  const auto store = [&](bool value, const at::Tensor& rows_of) {
    at::Tensor(kv_.layer(layer, value)).index_put_({step.row_pages, step.row_slots}, rows_of.reshape({rows, -1}));
  };
  store(false, qk.narrow(1, heads, kv_heads));
  store(true, qkv.narrow(1, heads + kv_heads, kv_heads));
  return qk.narrow(1, 0, heads);
}

at::Tensor Decoder::activated(const at::Tensor& gate_up) const {
  const std::int64_t d_ff = gate_up.size(1) / 2;
  const at::Tensor gate = gate_up.narrow(1, 0, d_ff);
  const at::Tensor active = spec().activation == Activation::silu ? at::silu(gate) : at::gelu(gate, "tanh");
  return active * gate_up.narrow(1, d_ff, d_ff);
}

at::Tensor Decoder::gated(const GatedWeights& w, const at::Tensor& h) const {
  return ops_.linear(activated(ops_.linear(h, w.gate_up)), w.down);
}

at::Tensor Decoder::feed_forward(const LayerWeights& w, const at::Tensor& h) const {
  return w.router.defined() ? mixture(w, h) : gated(w.ffn, h);
}

}  // namespace frugal::aten

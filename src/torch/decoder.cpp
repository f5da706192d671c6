#include "torch/decoder.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/index.h>
#include <ATen/ops/index_add.h>
#include <ATen/ops/index_put.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include <optional>
#include <utility>
#include <vector>

#include "backend/experts.hpp"
#include "backend/rope.hpp"

namespace frugal::aten {
namespace {

std::int64_t wide(std::size_t n) { return static_cast<std::int64_t>(n); }

}  // namespace

at::Tensor KvView::layer(std::int64_t index, bool value) const {
  const std::int64_t offset = (index * 2 + (value ? 1 : 0)) * page_tokens * width;
  return arena.as_strided({pages, page_tokens, width}, {granule, width, 1}, offset);
}

Decoder::Decoder(std::shared_ptr<const Model> model, const Device& device)
    : model_(std::move(model)),
      device_(device),
      weights_(shared_weights(model_, device)),
      frequencies_(backend::rope_frequencies(model_->spec())),
      local_frequencies_(backend::local_rope_frequencies(model_->spec())) {}

std::size_t Decoder::kv_bytes_per_token() const {
  return std::size_t{2} * spec().layers * spec().kv_width() * c10::elementSize(device_.compute);
}

void Decoder::bind(const at::Tensor& arena, const PageGeometry& geometry) {
  const std::size_t bytes = static_cast<std::size_t>(arena.numel());
  kv_.arena = arena.view(device_.compute);
  kv_.granule = wide(granule_bytes / c10::elementSize(device_.compute));
  kv_.pages = bytes < geometry.page_bytes ? 0 : wide((bytes - geometry.page_bytes) / granule_bytes + 1);
  kv_.page_tokens = geometry.page_tokens;
  kv_.width = spec().kv_width();
}

at::Tensor Decoder::run(const StepPlan& plan, std::uint32_t layers,
                        const std::function<void(std::uint32_t, const at::Tensor&)>& after) const {
  at::Tensor x = at::index(weights_->weights.embedding, {plan.tokens}).to(at::kFloat);
  if (spec().embedding_scale != 1.0F) x = x * static_cast<double>(spec().embedding_scale);
  after(0, x);
  for (std::uint32_t l = 0; l < layers; ++l) {
    const LayerWeights& w = weights_->weights.layers[l];
    const at::Tensor mixed = attention(w, wide(l), norm(x, w.attn_norm), plan);
    x = x + (w.post_attention_norm.defined() ? norm(mixed, w.post_attention_norm) : mixed);
    const at::Tensor fed = feed_forward(w, norm(x, w.ffn_norm));
    x = x + (w.post_ffw_norm.defined() ? norm(fed, w.post_ffw_norm) : fed);
    after(l + 1, x);
  }
  return x;
}

at::Tensor Decoder::logits(const at::Tensor& hidden) const {
  at::Tensor y = at::linear(norm(hidden, weights_->weights.output_norm), weights_->weights.head);
  if (const double cap = static_cast<double>(spec().logit_softcap); cap != 0.0)
    y = at::tanh(y.to(at::kFloat) / cap) * cap;
  return y.to(at::kCPU, at::kFloat).contiguous();
}

at::Tensor Decoder::normed(const at::Tensor& hidden) const {
  return at::rms_norm(hidden, {hidden.size(-1)}, weights_->weights.output_norm, static_cast<double>(spec().rms_eps));
}

at::Tensor Decoder::norm(const at::Tensor& x, const at::Tensor& gain) const {
  return at::rms_norm(x.to(at::kFloat), {x.size(-1)}, gain, static_cast<double>(spec().rms_eps)).to(device_.compute);
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
  const std::int64_t rows = h.size(0), heads = spec().heads, kv_heads = spec().kv_heads, d = spec().head_dim;
  const at::Tensor qkv = at::linear(h, w.qkv, w.qkv_bias).view({rows, heads + 2 * kv_heads, d});
  at::Tensor qk = qkv.narrow(1, 0, heads + kv_heads).to(at::kFloat);
  if (w.qk_gain.defined()) qk = at::rms_norm(qk, {d}, {}, static_cast<double>(spec().rms_eps)) * w.qk_gain;
  qk = rotate(qk, plan).to(device_.compute);
  const at::Tensor keys = kv_.layer(layer, false), values = kv_.layer(layer, true);
  at::Tensor(keys).index_put_({step.row_pages, step.row_slots}, qk.narrow(1, heads, kv_heads).reshape({rows, -1}));
  at::Tensor(values).index_put_({step.row_pages, step.row_slots},
                                qkv.narrow(1, heads + kv_heads, kv_heads).reshape({rows, -1}));
  std::vector<at::Tensor> mixed;
  mixed.reserve(plan.segments.size());
  for (const SegmentPlan& s : plan.segments) {
    mixed.push_back(attend(s, qk.narrow(0, s.first_row, s.rows).narrow(1, 0, heads), keys, values));
  }
  return at::linear(mixed.size() == 1 ? mixed.front() : at::cat(mixed), w.output);
}

/// q [rows, heads, d] -> [rows, heads * d].
at::Tensor Decoder::attend(const SegmentPlan& s, const at::Tensor& q, const at::Tensor& keys,
                           const at::Tensor& values) const {
  const std::int64_t kv_heads = spec().kv_heads, group = spec().heads / kv_heads, d = spec().head_dim;
  const std::int64_t n = s.end() - s.first_position;
  const auto gather = [&](const at::Tensor& pages) {  // -> [1, kv_heads, n, d]
    return at::index(pages, {s.pages}).view({-1, kv_heads, d}).narrow(0, 0, n).transpose(0, 1).unsqueeze(0);
  };
  const at::Tensor folded =  // [rows, kv_heads, group, d] -> [1, kv_heads, group * rows, d]
      q.reshape({s.rows, kv_heads, group, d}).permute({1, 2, 0, 3}).reshape({1, kv_heads, group * s.rows, d});
  std::optional<at::Tensor> m;
  if (s.mask.defined()) m = s.mask.unsqueeze(0).unsqueeze(0);
  const at::Tensor out = spec().attention_softcap != 0.0F
                             ? capped_attention(folded, gather(keys), gather(values), s.mask)
                             : at::scaled_dot_product_attention(folded, gather(keys), gather(values), m, 0.0, false,
                                                                static_cast<double>(backend::attention_scale(spec())));
  return out.view({kv_heads, group, s.rows, d}).permute({2, 0, 1, 3}).reshape({s.rows, kv_heads * group * d});
}

/// Attention whose scores pass cap * tanh(s / cap), which no fused kernel of LibTorch has; in fp32.
at::Tensor Decoder::capped_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                                     const at::Tensor& mask) const {
  const double cap = static_cast<double>(spec().attention_softcap);
  const double scale = static_cast<double>(backend::attention_scale(spec()));
  at::Tensor scores = at::matmul(q.to(at::kFloat), keys.to(at::kFloat).transpose(-2, -1)) * scale;
  scores = at::tanh(scores / cap) * cap;
  if (mask.defined()) scores = scores + mask.to(at::kFloat);
  return at::matmul(at::softmax(scores, -1), values.to(at::kFloat)).to(device_.compute);
}

at::Tensor Decoder::gated(const GatedWeights& w, const at::Tensor& h) const {
  const std::int64_t d_ff = w.down.size(1);
  const at::Tensor both = at::linear(h, w.gate_up);
  const at::Tensor gate = both.narrow(1, 0, d_ff);
  const at::Tensor active = spec().activation == Activation::silu ? at::silu(gate) : at::gelu(gate, "tanh");
  return at::linear(active * both.narrow(1, d_ff, d_ff), w.down);
}

at::Tensor Decoder::feed_forward(const LayerWeights& w, const at::Tensor& h) const {
  return w.experts.empty() ? gated(w.ffn, h) : mixture(w, h);
}

/// Experts are chosen on the host, by the rule all backends share; each then computes its rows side by side.
at::Tensor Decoder::mixture(const LayerWeights& w, const at::Tensor& h) const {
  const at::Tensor wide_h = h.to(at::kFloat);
  const at::Tensor scores = at::linear(wide_h, w.router).to(at::kCPU).contiguous();  // [rows, experts]
  std::vector<std::vector<std::int64_t>> rows(w.experts.size());
  std::vector<std::vector<float>> weights(w.experts.size());
  for (std::int64_t r = 0; r < h.size(0); ++r) {
    const float* row = scores.data_ptr<float>() + r * wide(w.experts.size());
    for (const auto& [expert, weight] : backend::choose_experts(spec().experts, {row, w.experts.size()})) {
      rows[expert].push_back(r);
      weights[expert].push_back(weight);
    }
  }
  at::Tensor out = at::zeros_like(wide_h);
  for (std::size_t e = 0; e < w.experts.size(); ++e) {
    if (rows[e].empty()) continue;
    const at::Tensor index = at::tensor(rows[e], at::TensorOptions(at::kLong)).to(h.device());
    const at::Tensor share = at::tensor(weights[e], at::TensorOptions(at::kFloat)).to(h.device()).unsqueeze(1);
    out = at::index_add(out, 0, index, gated(w.experts[e], at::index_select(h, 0, index)).to(at::kFloat) * share);
  }
  if (w.shared_gate.defined())
    out = out + gated(w.shared, h).to(at::kFloat) * at::sigmoid(at::linear(wide_h, w.shared_gate));
  return out;
}

}  // namespace frugal::aten

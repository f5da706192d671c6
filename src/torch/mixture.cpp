// Decoder::mixture: rows pass the experts that the router chooses for them. With frugal's kernels a decode or verify step
// chooses on the device; many rows, and devices without kernels, have them chosen on the host, which waits once a layer.
#include <ATen/TensorOperators.h>
#include <ATen/ops/index_add.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <vector>

#include "backend/experts.hpp"
#include "torch/decoder.hpp"

namespace frugal::aten {
namespace {

std::int64_t wide(std::size_t n) { return static_cast<std::int64_t>(n); }

}  // namespace

/// fp32 [rows, d_model].
at::Tensor Decoder::mixture(const LayerWeights& w, const at::Tensor& h) const {
  const at::Tensor wide_h = h.to(at::kFloat), scores = at::linear(wide_h, w.router);  // [rows, experts]
  at::Tensor out =
      ops_.has_experts(w.experts, spec().experts, h.size(0)) ? routed(w, h, scores) : routed_by_host(w, h, scores);
  if (w.shared_gate.defined())
    out = out + gated(w.shared, h).to(at::kFloat) * at::sigmoid(at::linear(wide_h, w.shared_gate));
  return out;
}

/// All choices of all rows side by side, then each row's sum.
at::Tensor Decoder::routed(const LayerWeights& w, const at::Tensor& h, const at::Tensor& scores) const {
  const ExpertsSpec& experts = spec().experts;
  const Ops::Routing routing = ops_.route(scores, experts);
  const at::Tensor fed = activated(ops_.expert_linear(h, w.experts.gate_up, routing, experts));
  const at::Tensor all = ops_.expert_linear(fed, w.experts.down, routing, experts);
  return (all.view({h.size(0), experts.used, -1}).to(at::kFloat) * routing.weights.unsqueeze(2)).sum(1);
}

/// By the rule all backends share; each expert computes its rows side by side.
at::Tensor Decoder::routed_by_host(const LayerWeights& w, const at::Tensor& h, const at::Tensor& scores) const {
  const ExpertsSpec& experts = spec().experts;
  const at::Tensor here = scores.to(at::kCPU).contiguous();
  std::vector<std::vector<std::int64_t>> rows(experts.count);
  std::vector<std::vector<float>> weights(experts.count);
  for (std::int64_t r = 0; r < h.size(0); ++r) {
    const float* row = here.data_ptr<float>() + r * wide(experts.count);
    for (const auto& [expert, weight] : backend::choose_experts(experts, {row, experts.count})) {
      rows[expert].push_back(r);
      weights[expert].push_back(weight);
    }
  }
  at::Tensor out = at::zeros(h.sizes(), h.options().dtype(at::kFloat));
  const std::int64_t wide_part = w.experts.gate_up.rows / experts.count,
                     down_part = w.experts.down.rows / experts.count;
  for (std::uint32_t e = 0; e < experts.count; ++e) {
    if (rows[e].empty()) continue;
    const GatedWeights one{w.experts.gate_up.part(e * wide_part, wide_part),
                           w.experts.down.part(e * down_part, down_part)};
    const at::Tensor index = at::tensor(rows[e], at::TensorOptions(at::kLong)).to(h.device());
    const at::Tensor share = at::tensor(weights[e], at::TensorOptions(at::kFloat)).to(h.device()).unsqueeze(1);
    out = at::index_add(out, 0, index, gated(one, at::index_select(h, 0, index)).to(at::kFloat) * share);
  }
  return out;
}

}  // namespace frugal::aten

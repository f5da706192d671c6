#include "torch/weights.hpp"

#include "backend/prepared.hpp"

#include <frugal/core/error.hpp>

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace frugal::aten {
namespace {

using Parts = std::initializer_list<std::string_view>;

/// Rows of several tensors one below the other, as [rows, cols] on the device.
at::Tensor stack_rows(const std::vector<const Tensor*>& parts, c10::Device device, c10::ScalarType type) {
  std::uint64_t rows = 0;
  for (const Tensor* t : parts) rows += t->rows;
  const std::uint64_t cols = parts.front()->cols;
  const at::Tensor host =
      at::empty({static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols)}, at::TensorOptions(at::kFloat));
  float* next = host.data_ptr<float>();
  for (const Tensor* t : parts) {
    dequantize_rows(*t, 0, t->rows, {next, t->rows * cols});
    next += t->rows * cols;
  }
  return host.to(device, type);
}

/// Loads one layer's tensors by part name.
class Layer {
 public:
  Layer(const Model& model, std::uint32_t layer, const Device& device)
      : model_(model), layer_(layer), device_(device) {}

  at::Tensor matrix(Parts parts) const {
    std::vector<const Tensor*> tensors;
    for (const std::string_view part : parts) tensors.push_back(&need(part, false));
    return stack_rows(tensors, device_.device, device_.compute);
  }

  at::Tensor expert(Parts parts, std::uint32_t index) const {
    std::vector<const Tensor*> tensors;
    for (const std::string_view part : parts) tensors.push_back(model_.expert(layer_, part, index));
    return stack_rows(tensors, device_.device, device_.compute);
  }

  at::Tensor floats(std::string_view part) const {
    return stack_rows({&need(part, false)}, device_.device, at::kFloat);
  }

  at::Tensor vector(std::string_view part, c10::ScalarType type, bool bias = false) const {
    return stack_rows({&need(part, bias)}, device_.device, type).reshape(-1);
  }

 private:
  const Tensor& need(std::string_view part, bool bias) const {
    const Tensor* t = model_.layer(layer_, part, bias);
    if (t == nullptr) {
      throw Error(Errc::bad_model, "torch: layer " + std::to_string(layer_) + " has no " + std::string(part));
    }
    return *t;
  }

  const Model& model_;
  std::uint32_t layer_;
  const Device& device_;
};

/// One gain a head, so that queries and keys are normalised in one operation.
at::Tensor head_gains(const DecoderSpec& spec, const Layer& layer) {
  const auto gain = [&](std::string_view part, std::uint32_t heads) {
    return layer.vector(part, at::kFloat).unsqueeze(0).expand({heads, spec.head_dim});
  };
  return at::cat({gain("attn_q_norm", spec.heads), gain("attn_k_norm", spec.kv_heads)});
}

void load_experts(const ExpertsSpec& experts, const Layer& layer, LayerWeights& w) {
  w.router = layer.floats("ffn_gate_inp");
  for (std::uint32_t e = 0; e < experts.count; ++e)
    w.experts.push_back({layer.expert({"ffn_gate", "ffn_up"}, e), layer.expert({"ffn_down"}, e)});
  if (experts.shared_d_ff == 0) return;
  w.shared = {layer.matrix({"ffn_gate_shexp", "ffn_up_shexp"}), layer.matrix({"ffn_down_shexp"})};
  w.shared_gate = layer.floats("ffn_gate_inp_shexp");
}

LayerWeights load_layer(const DecoderSpec& spec, const Layer& layer, c10::ScalarType compute) {
  LayerWeights w;
  w.attn_norm = layer.vector("attn_norm", at::kFloat), w.ffn_norm = layer.vector("ffn_norm", at::kFloat);
  w.qkv = layer.matrix({"attn_q", "attn_k", "attn_v"});
  if (spec.qkv_bias) {
    w.qkv_bias = at::cat({layer.vector("attn_q", compute, true), layer.vector("attn_k", compute, true),
                          layer.vector("attn_v", compute, true)});
  }
  if (spec.qk_norm) w.qk_gain = head_gains(spec, layer);
  w.output = layer.matrix({"attn_output"});
  if (spec.post_norms) {
    w.post_attention_norm = layer.vector("post_attention_norm", at::kFloat);
    w.post_ffw_norm = layer.vector("post_ffw_norm", at::kFloat);
  }
  if (spec.experts.count == 0)
    w.ffn = {layer.matrix({"ffn_gate", "ffn_up"}), layer.matrix({"ffn_down"})};
  else
    load_experts(spec.experts, layer, w);
  return w;
}

}  // namespace

std::shared_ptr<const LoadedWeights> shared_weights(std::shared_ptr<const Model> model, const Device& device) {
  static backend::Prepared<LoadedWeights> prepared;
  const Model* key = model.get();
  return prepared.get(key, device.name + " " + c10::toString(device.compute), [&] {
    return LoadedWeights{model, load_weights(*model, device)};
  });
}

Weights load_weights(const Model& model, const Device& device) {
  const DecoderSpec& spec = model.spec();
  Weights w;
  w.embedding = stack_rows({&model.embedding()}, device.device, device.compute);
  w.output_norm = stack_rows({&model.output_norm()}, device.device, at::kFloat).reshape(-1);
  w.head = spec.tied_head ? w.embedding : stack_rows({&model.head()}, device.device, device.compute);
  w.layers.reserve(spec.layers);
  for (std::uint32_t l = 0; l < spec.layers; ++l) {
    w.layers.push_back(load_layer(spec, Layer(model, l, device), device.compute));
  }
  return w;
}

}  // namespace frugal::aten

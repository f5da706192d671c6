// Weights: a model dequantised onto the device in the compute type. Projections that read the same input are one
// matrix: q|k|v and gate|up.
#pragma once

#include <frugal/model/model.hpp>

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "torch/device.hpp"

namespace frugal::aten {

struct GatedWeights {
  at::Tensor gate_up, down;  // [2 d_ff, d_model], [d_model, d_ff]
};

struct LayerWeights {
  at::Tensor attn_norm, ffn_norm;  // fp32 [d_model]
  at::Tensor qkv, qkv_bias;        // [q_width + 2 kv_width, d_model]; bias undefined where there is none
  at::Tensor qk_gain;              // fp32 [heads + kv_heads, head_dim], undefined where there is no qk_norm
  at::Tensor output;               // [d_model, q_width]
  GatedWeights ffn;                // undefined where there are experts
  at::Tensor post_attention_norm, post_ffw_norm;  // fp32 [d_model], undefined where there are none
  at::Tensor router;                              // fp32 [experts, d_model]: rounding it would change choices
  std::vector<GatedWeights> experts;
  GatedWeights shared;     // of the expert that every row passes
  at::Tensor shared_gate;  // fp32 [1, d_model]
};

struct Weights {
  at::Tensor embedding;    // [vocab, d_model]
  at::Tensor output_norm;  // fp32 [d_model]
  at::Tensor head;         // [vocab, d_model]; the embedding itself where tied
  std::vector<LayerWeights> layers;
};

struct LoadedWeights {
  std::shared_ptr<const Model> model;
  Weights weights;
};

/// The same tensors for every backend of the process that runs this Model object on this device in this type.
std::shared_ptr<const LoadedWeights> shared_weights(std::shared_ptr<const Model> model, const Device& device);

/// Peak host memory: the weights in the compute type plus one fp32 matrix.
Weights load_weights(const Model& model, const Device& device);

}  // namespace frugal::aten

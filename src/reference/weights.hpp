// A model's weights as fp32 Eigen matrices [out, in], so that a layer reads as y = W x. 4 bytes a parameter; a tied
// head is stored once.
#pragma once

#include <frugal/model/model.hpp>

#include <Eigen/Core>

#include <cstdint>
#include <string_view>
#include <vector>

namespace frugal::reference {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXf;

struct FeedForward {
  Matrix gate, up, down;  // [d_ff, d_model], down [d_model, d_ff]
};

struct LayerWeights {
  Vector attn_norm, ffn_norm;                 // [d_model]
  Vector post_attention_norm, post_ffw_norm;  // [d_model], empty where there are none
  Matrix q, k, v, o;                          // [q_width | kv_width, d_model], o [d_model, q_width]
  Vector q_bias, k_bias, v_bias;              // empty where there are none
  Vector q_norm, k_norm;                      // [head_dim], empty where there are none
  FeedForward ffn;                            // empty where there are experts
  Matrix router;                              // [experts, d_model]
  std::vector<FeedForward> experts;
  FeedForward shared;  // of the shared expert, empty where there is none
  Vector shared_gate;  // [d_model]
};

struct Weights {
  explicit Weights(const Model& model);

  Matrix embedding;  // [vocab, d_model]
  Vector output_norm;
  Matrix own_head;  // empty where tied
  std::vector<LayerWeights> layers;

  const Matrix& head() const { return own_head.size() == 0 ? embedding : own_head; }
};

}  // namespace frugal::reference

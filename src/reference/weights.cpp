#include "reference/weights.hpp"

#include <frugal/core/error.hpp>

#include <span>
#include <string>

namespace frugal::reference {
namespace {

Matrix matrix(const Tensor& t) {
  Matrix m(static_cast<Eigen::Index>(t.rows), static_cast<Eigen::Index>(t.cols));
  dequantize_rows(t, 0, t.rows, {m.data(), static_cast<std::size_t>(m.size())});
  return m;
}

Vector vector(const Tensor& t) {
  Vector v(static_cast<Eigen::Index>(t.rows * t.cols));
  dequantize_rows(t, 0, t.rows, {v.data(), static_cast<std::size_t>(v.size())});
  return v;
}

const Tensor& need(const Model& model, std::uint32_t layer, std::string_view part, bool bias = false) {
  const Tensor* t = model.layer(layer, part, bias);
  if (t == nullptr) {
    throw Error(Errc::bad_model, "layer " + std::to_string(layer) + " has no " + std::string(part));
  }
  return *t;
}

void add_experts(const Model& model, std::uint32_t l, LayerWeights& w) {
  const ExpertsSpec& experts = model.spec().experts;
  w.router = matrix(need(model, l, "ffn_gate_inp"));
  for (std::uint32_t e = 0; e < experts.count; ++e)
    w.experts.push_back({matrix(*model.expert(l, "ffn_gate", e)), matrix(*model.expert(l, "ffn_up", e)),
                         matrix(*model.expert(l, "ffn_down", e))});
  if (experts.shared_d_ff == 0) return;
  w.shared = {matrix(need(model, l, "ffn_gate_shexp")), matrix(need(model, l, "ffn_up_shexp")),
              matrix(need(model, l, "ffn_down_shexp"))};
  w.shared_gate = vector(need(model, l, "ffn_gate_inp_shexp"));
}

LayerWeights layer_weights(const Model& model, std::uint32_t l) {
  const DecoderSpec& spec = model.spec();
  LayerWeights w;
  w.attn_norm = vector(need(model, l, "attn_norm")), w.ffn_norm = vector(need(model, l, "ffn_norm"));
  w.q = matrix(need(model, l, "attn_q")), w.k = matrix(need(model, l, "attn_k"));
  w.v = matrix(need(model, l, "attn_v")), w.o = matrix(need(model, l, "attn_output"));
  if (spec.post_norms) {
    w.post_attention_norm = vector(need(model, l, "post_attention_norm"));
    w.post_ffw_norm = vector(need(model, l, "post_ffw_norm"));
  }
  if (spec.experts.count == 0)
    w.ffn = {matrix(need(model, l, "ffn_gate")), matrix(need(model, l, "ffn_up")), matrix(need(model, l, "ffn_down"))};
  else
    add_experts(model, l, w);
  if (spec.qkv_bias) {
    w.q_bias = vector(need(model, l, "attn_q", true)), w.k_bias = vector(need(model, l, "attn_k", true));
    w.v_bias = vector(need(model, l, "attn_v", true));
  }
  if (spec.qk_norm) w.q_norm = vector(need(model, l, "attn_q_norm")), w.k_norm = vector(need(model, l, "attn_k_norm"));
  return w;
}

}  // namespace

Weights::Weights(const Model& model) : embedding(matrix(model.embedding())), output_norm(vector(model.output_norm())) {
  if (!model.spec().tied_head) own_head = matrix(model.head());
  layers.reserve(model.spec().layers);
  for (std::uint32_t l = 0; l < model.spec().layers; ++l) layers.push_back(layer_weights(model, l));
}

}  // namespace frugal::reference

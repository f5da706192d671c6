// One tiny model for each switch of DecoderSpec and each storage format.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "support/tiny_model.hpp"

namespace frugal::testing {

/// Norms after both parts, GELU, scales, caps, windows in every other layer.
inline void like_gemma2(DecoderSpec& s) {
  s.activation = Activation::gelu_tanh, s.post_norms = true, s.embedding_scale = 5.7F, s.attention_scale = 0.4F;
  s.attention_softcap = 3.0F, s.logit_softcap = 5.0F, s.sliding_window = 20;
  for (std::uint32_t l = 0; l < s.layers; ++l) s.full_attention.push_back(l % 2);
}

/// Layers with a window rotate in their own way.
inline void like_gemma3(DecoderSpec& s) {
  like_gemma2(s);
  s.attention_softcap = s.logit_softcap = 0.0F;
  s.rope_theta = 1e6, s.local_rope_theta = 1e4, s.rope_divisors.assign(s.rope_dims / 2, 8.0F), s.rope_scale = 1.1F;
}

inline void like_mixtral(DecoderSpec& s) { s.experts = {6, 2, 64, 0, true}; }

inline void like_qwen2moe(DecoderSpec& s) { s.experts = {6, 3, 40, 64, false}; }

inline std::vector<std::pair<std::string, TinyModelOptions>> switches() {
  const auto with = [](auto change) {
    TinyModelOptions o;
    o.logit_scale = 4.0F;
    change(o);
    return o;
  };
  return {
      {"plain", with([](auto&) {})},
      {"rope on halves", with([](auto& o) { o.rope_layout = RopeLayout::halves; })},
      {"rope divisors", with([](auto& o) {
         o.rope_divisors = {1.0F, 2.0F, 4.0F, 8.0F};
       })},
      {"q/k/v bias", with([](auto& o) { o.qkv_bias = true, o.rope_layout = RopeLayout::halves; })},
      {"q/k norm", with([](auto& o) { o.qk_norm = true, o.rope_layout = RopeLayout::halves; })},
      {"a head of its own", with([](auto& o) { o.tied_head = false; })},
      {"a window shorter than a page", with([](auto& o) { o.sliding_window = 5; })},
      {"a window over pages", with([](auto& o) { o.sliding_window = 20; })},
      {"one K/V head", with([](auto& o) { o.kv_heads = 1; })},
      {"as many K/V heads as heads", with([](auto& o) { o.kv_heads = 4; })},
      {"heads wider than d_model", with([](auto& o) { o.head_dim = 24; })},
      {"as in Gemma 2", with([](auto& o) { o.spec = like_gemma2; })},
      {"as in Gemma 3", with([](auto& o) { o.spec = like_gemma3, o.qk_norm = true; })},
      {"experts as in Mixtral", with([](auto& o) { o.spec = like_mixtral; })},
      {"experts as in Qwen2 MoE", with([](auto& o) { o.spec = like_qwen2moe; })},
      {"three layers, odd widths", with([](auto& o) { o.layers = 3, o.d_model = 96, o.heads = 6, o.kv_heads = 3; })},
  };
}

inline std::vector<std::pair<std::string, TinyModelOptions>> formats() {
  std::vector<std::pair<std::string, TinyModelOptions>> out;
  for (const DType type : {DType::f32,     DType::f16,    DType::bf16,   DType::q4_0,    DType::q4_1,   DType::q5_0,
                           DType::q5_1,    DType::q8_0,   DType::q2_k,   DType::q3_k,    DType::q4_k,   DType::q5_k,
                           DType::q6_k,    DType::iq4_nl, DType::iq4_xs, DType::iq2_xxs, DType::iq2_xs, DType::iq2_s,
                           DType::iq3_xxs, DType::iq3_s,  DType::iq1_s,  DType::iq1_m}) {
    TinyModelOptions o;
    if (block_shape(type).values == 256) o.d_model = 256, o.d_ff = 256;
    o.embedding = o.attention = o.feed_forward = o.head = type;
    o.tied_head = false, o.logit_scale = 4.0F;
    out.emplace_back(std::string(to_string(type)), o);
  }
  return out;
}

}  // namespace frugal::testing

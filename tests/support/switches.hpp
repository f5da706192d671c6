// One tiny model for each switch of DecoderSpec and each storage format.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "support/tiny_model.hpp"

namespace frugal::testing {

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
      {"three layers, odd widths", with([](auto& o) { o.layers = 3, o.d_model = 96, o.heads = 6, o.kv_heads = 3; })},
  };
}

inline std::vector<std::pair<std::string, TinyModelOptions>> formats() {
  std::vector<std::pair<std::string, TinyModelOptions>> out;
  for (const DType type :
       {DType::f32, DType::f16, DType::bf16, DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0,
        DType::q2_k, DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl, DType::iq4_xs}) {
    TinyModelOptions o;
    if (block_shape(type).values == 256) o.d_model = 256, o.d_ff = 256;
    o.embedding = o.attention = o.feed_forward = o.head = type;
    o.tied_head = false, o.logit_scale = 4.0F;
    out.emplace_back(std::string(to_string(type)), o);
  }
  return out;
}

}  // namespace frugal::testing

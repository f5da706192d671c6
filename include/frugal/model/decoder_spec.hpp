// DecoderSpec: one table of shapes and switches that describes every decoder frugal runs. Backends read this and
// nothing else about an architecture, so the next architecture is a row in src/model/architectures.cpp and not a copy
// of a forward pass.
#pragma once

#include <frugal/config.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace frugal {

/// Which pairs of a head's dimensions rotate together: (2i, 2i+1) in GGUF llama files, (i, i + d/2) elsewhere.
enum class RopeLayout : std::uint8_t { adjacent, halves };

/// silu(x) = x / (1 + exp(-x)); gelu_tanh(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
enum class Activation : std::uint8_t { silu, gelu_tanh };

/// A mixture of experts in place of the feed-forward part (Shazeer et al. 2017). p = softmax(h Wrouter); the `used`
/// experts with the largest p (the lower index first among equals) each add p_e * expert_e(h).
struct ExpertsSpec {
  std::uint32_t count = 0;  ///< 0 = no mixture
  std::uint32_t used = 0;   ///< a row passes so many
  std::uint32_t d_ff = 0;   ///< of one expert
  /// Of an expert that every row passes, weighed by sigmoid(h . wshared); 0 = none.
  std::uint32_t shared_d_ff = 0;
  bool renormalise = false;  ///< the chosen p are divided by their sum
};

/// The forward pass these fields describe, for token t at position n:
///
///   x = embedding[t] * embedding_scale
///   each layer:
///     h = rms_norm(x, attn_norm);  q, k, v = h Wq (+bq), h Wk (+bk), h Wv (+bv)
///     if qk_norm: rms_norm per head on q and k;  rope on q and k
///     s = q k^T * attention_scale;  if attention_softcap: s = cap * tanh(s / cap)
///     a = softmax(s, causal, inside the layer's window) v Wo;  if post_norms: a = rms_norm(a, post_attention_norm)
///     x += a
///     h = rms_norm(x, ffn_norm);  f = (activation(h Wgate) * (h Wup)) Wdown, or a mixture of such experts
///     if post_norms: f = rms_norm(f, post_ffw_norm)
///     x += f
///   logits = rms_norm(x, output_norm) Whead, where Whead = embedding if tied_head
///   if logit_softcap: logits = cap * tanh(logits / cap)
struct DecoderSpec {
  std::string architecture;  ///< "llama", "qwen2", "gemma2", ...
  std::uint32_t layers = 0;
  std::uint32_t d_model = 0;
  std::uint32_t d_ff = 0;  ///< unused where there are experts
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;  ///< divides heads
  std::uint32_t head_dim = 0;
  std::uint32_t vocab = 0;
  std::uint32_t context = 0;  ///< most positions the model was trained for
  float rms_eps = 1e-5F;
  double rope_theta = 10000.0;
  RopeLayout rope_layout = RopeLayout::halves;
  std::uint32_t rope_dims = 0;  ///< rotated dimensions of a head, usually head_dim
  /// Divisors of the rope_dims/2 base frequencies (linear scaling, Llama 3's bands, YaRN, LongRoPE, or a file's
  /// rope_freqs); empty = all 1.
  std::vector<float> rope_divisors{};
  float rope_scale = 1.0F;        ///< cosines and sines are multiplied by it (YaRN, LongRoPE)
  double local_rope_theta = 0.0;  ///< in layers with a window, in place of rope_theta and divisors; 0 = as elsewhere
  bool qkv_bias = false;
  bool qk_norm = false;
  bool tied_head = false;
  std::uint32_t sliding_window = 0;  ///< a row attends to the last so many positions (itself included); 0 = all
  /// [layers], 1 where a layer attends to all positions although there is a window; empty = nowhere.
  std::vector<std::uint8_t> full_attention{};
  Activation activation = Activation::silu;
  bool post_norms = false;
  float embedding_scale = 1.0F;
  float attention_scale = 0.0F;    ///< 0 = 1 / sqrt(head_dim)
  float attention_softcap = 0.0F;  ///< 0 = none
  float logit_softcap = 0.0F;      ///< 0 = none
  ExpertsSpec experts{};

  std::uint32_t q_width() const { return heads * head_dim; }
  std::uint32_t kv_width() const { return kv_heads * head_dim; }
  /// The window of a layer; 0 = it attends to all positions.
  std::uint32_t window(std::size_t layer) const {
    return full_attention.empty() || full_attention[layer] == 0 ? sliding_window : 0;
  }
  /// Whether a layer rotates by local_rope_theta.
  bool local_rope(std::size_t layer) const { return local_rope_theta != 0.0 && window(layer) != 0; }
};

}  // namespace frugal

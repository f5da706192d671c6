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

/// The forward pass these fields describe, for token t at position n:
///   x = embedding[t]
///   each layer: h = rms_norm(x, attn_norm); q, k, v = h Wq (+bq), h Wk (+bk), h Wv (+bv); if qk_norm: rms_norm per
///   head on q and k;
///     rope on q and k; x += softmax(q k^T / sqrt(head_dim), causal) v Wo; h = rms_norm(x, ffn_norm); x += (silu(h
///     Wgate) * (h Wup)) Wdown
///   logits = rms_norm(x, output_norm) Whead, where Whead = embedding if tied_head
struct DecoderSpec {
  std::string architecture;  ///< "llama", "qwen2", "qwen3"
  std::uint32_t layers = 0;
  std::uint32_t d_model = 0;
  std::uint32_t d_ff = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;  ///< divides heads
  std::uint32_t head_dim = 0;
  std::uint32_t vocab = 0;
  std::uint32_t context = 0;  ///< most positions the model was trained for
  float rms_eps = 1e-5F;
  double rope_theta = 10000.0;
  RopeLayout rope_layout = RopeLayout::halves;
  std::uint32_t rope_dims = 0;  ///< rotated dimensions of a head, usually head_dim
  /// Divisors of the rope_dims/2 base frequencies (linear scaling, Llama 3's bands, or a file's rope_freqs); empty =
  /// all 1.
  std::vector<float> rope_divisors{};
  bool qkv_bias = false;
  bool qk_norm = false;
  bool tied_head = false;
  std::uint32_t sliding_window = 0;  ///< a row attends to the last so many positions (itself included); 0 = all

  std::uint32_t q_width() const { return heads * head_dim; }
  std::uint32_t kv_width() const { return kv_heads * head_dim; }
};

}  // namespace frugal

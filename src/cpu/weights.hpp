// DecoderWeights: one model's weights as the kernels want them, packed into one huge-page buffer at add_model.
// Immutable afterwards.
#pragma once

#include "cpu/memory.hpp"
#include "cpu/packed.hpp"
#include "cpu/pool.hpp"

#include <frugal/model/model.hpp>

#include <memory>
#include <vector>

namespace frugal::cpu {

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

/// A vector of floats padded with zeros to whole blocks of 32.
using PaddedFloats = std::vector<float>;

struct GatedWeights {
  PackedMatrix gate, up, down;
};

struct LayerWeights {
  PackedMatrix q, k, v, o;
  GatedWeights ffn;                                  ///< empty where there are experts
  PaddedFloats attn_norm, ffn_norm, q_norm, k_norm;  ///< the last two empty without qk_norm
  PaddedFloats q_bias, k_bias, v_bias;               ///< empty without qkv_bias
  PaddedFloats post_attention_norm, post_ffw_norm;   ///< empty without post_norms
  PaddedFloats router;                               ///< [experts][d_model]; fp32, since rounding would change choices
  std::vector<GatedWeights> experts;
  GatedWeights shared;       ///< of the expert that every row passes
  PaddedFloats shared_gate;  ///< [d_model]
};

struct DecoderWeights {
  std::shared_ptr<const Model> model;
  std::vector<LayerWeights> layers;
  PaddedFloats output_norm;
  PackedMatrix head;
  std::vector<double> rope_frequencies;   ///< [rope_dims / 2], divisors applied
  std::vector<double> local_frequencies;  ///< of layers with a window; empty where they are alike
  bool plain = false;                     ///< at least one matrix is of plain floats
  HugeBuffer buffer;
};

/// The same weights for every backend of the process that asks for the same Model object, as long as one of them lives.
/// Packs on the first call. Thread-safe; throws what pack_weights throws.
std::shared_ptr<const DecoderWeights> shared_weights(std::shared_ptr<const Model> model, Crew& crew,
                                                     FloatWeights floats);

/// Throws Error(out_of_memory), Error(unsupported) for shapes no kernel serves,
/// Error(bad_model) for weights that are not finite. Uses the whole crew.
DecoderWeights pack_weights(std::shared_ptr<const Model> model, Crew& crew, FloatWeights floats);

}  // namespace frugal::cpu

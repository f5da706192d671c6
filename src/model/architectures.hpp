// The decoders frugal knows, one row each. A new architecture that fits DecoderSpec's forward pass is a row here; one
// that does not is first a field of DecoderSpec.
#pragma once

#include <frugal/model/decoder_spec.hpp>
#include <frugal/model/tensor.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::model {

struct Architecture {
  std::string_view name;                       ///< GGUF's general.architecture and DecoderSpec's
  std::span<const std::string_view> hf_types;  ///< model_type in a Hugging Face config.json
  RopeLayout gguf_rope = RopeLayout::halves;   ///< Hugging Face's is always halves: only GGUF's llama permutes q and k
  bool qkv_bias = false;                       ///< always there; elsewhere it depends on the file
  bool qk_norm = false;
  bool renormalise = false;  ///< experts' weights, where the file does not say
  bool gemma = false;        ///< norms after both parts, GELU, scaled embedding; norms stored less 1 by Hugging Face
  bool fused_up = false;     ///< a GGUF's ffn_up holds gate and up
  std::uint32_t window = 0;  ///< a GGUF's sliding window, where the file does not say
  std::uint32_t window_period = 0;  ///< every so many-th layer attends to all positions, where the file does not say
  double local_rope_theta = 0;      ///< of layers with a window, where the file does not say
  float attention_softcap = 0, logit_softcap = 0;  ///< where the file does not say
};

const Architecture* architecture_by_name(std::string_view name) noexcept;
const Architecture* architecture_by_hf_type(std::string_view model_type) noexcept;
/// "llama, qwen2, ...", for messages, by the names of GGUF and of Hugging Face.
std::string architecture_names();
std::string hf_type_names();

/// The GGUF name of a Hugging Face tensor ("model.layers.3.mlp.up_proj.weight" is "blk.3.ffn_up.weight"); empty where
/// we know none. With post_norms, post_attention_layernorm is what its name says, else the feed-forward part's norm.
std::string gguf_tensor_name(std::string_view hf_name, bool post_norms = false);

/// What is in the file decides about biases and a tied head. Throws Error(bad_model) without an embedding.
void complete_from_tensors(DecoderSpec& spec, const std::vector<Tensor>& tensors);

/// A tensor the forward pass would silently ignore means another architecture: Error(unsupported) naming it. `file` is
/// for the message.
void reject_unknown(const DecoderSpec& spec, const std::vector<Tensor>& tensors, const std::string& file);

/// The switches of a family that do not depend on the file.
void apply_family(DecoderSpec& spec, const Architecture& architecture);

/// Every period-th layer attends to all positions, the others have the window; period 0 = all have it.
void alternate_windows(DecoderSpec& spec, std::uint32_t period);

/// Splits tensors that hold several of the decoder's, as views: attn_qkv, gate and up of Phi-3, the experts of a layer.
void split_fused(const DecoderSpec& spec, std::vector<Tensor>& tensors);

}  // namespace frugal::model

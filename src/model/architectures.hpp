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
  RopeLayout gguf_rope;                        ///< Hugging Face's is always halves: only GGUF's llama permutes q and k
  bool qkv_bias;                               ///< always there; elsewhere it depends on the file
  bool qk_norm;
};

const Architecture* architecture_by_name(std::string_view name) noexcept;
const Architecture* architecture_by_hf_type(std::string_view model_type) noexcept;
/// "llama, qwen2, qwen3", for messages.
std::string architecture_names();

/// The GGUF name of a Hugging Face tensor ("model.layers.3.mlp.up_proj.weight" is "blk.3.ffn_up.weight"); empty where
/// we know none.
std::string gguf_tensor_name(std::string_view hf_name);

/// What is in the file decides about biases and a tied head. Throws Error(bad_model) without an embedding.
void complete_from_tensors(DecoderSpec& spec, const std::vector<Tensor>& tensors);

/// A tensor the forward pass would silently ignore means another architecture: Error(unsupported) naming it. `file` is
/// for the message.
void reject_unknown(const DecoderSpec& spec, const std::vector<Tensor>& tensors, const std::string& file);

/// Llama 3's bands: frequencies whose wavelength passes context / low are divided by factor, those below context / high
/// stay, the rest blend.
struct Llama3Scaling {
  double factor, low_freq_factor, high_freq_factor, original_context;
};
std::vector<float> llama3_divisors(const DecoderSpec& spec, const Llama3Scaling& scaling);

}  // namespace frugal::model

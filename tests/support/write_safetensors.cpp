#include "support/write_safetensors.hpp"

#include <cstring>
#include <sstream>
#include <utility>

namespace frugal::testing {
namespace {

std::string_view dtype_name(DType type) { return type == DType::f32 ? "F32" : type == DType::f16 ? "F16" : "BF16"; }

/// GGUF's part of a layer and Hugging Face's, written out here a second time on purpose.
constexpr std::pair<std::string_view, std::string_view> parts[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

std::string hf_name(const std::string& name) {
  if (name == "token_embd.weight") return "model.embed_tokens.weight";
  if (name == "output_norm.weight") return "model.norm.weight";
  if (name == "output.weight") return "lm_head.weight";
  const std::size_t layer_end = name.find('.', 4), part_end = name.rfind('.');
  const std::string part = name.substr(layer_end + 1, part_end - layer_end - 1);
  for (const auto& [gguf, hf] : parts)
    if (part == gguf)
      return "model.layers." + name.substr(4, layer_end - 4) + "." + std::string(hf) + name.substr(part_end);
  return name;
}

}  // namespace

Blob safetensors_blob(std::string header, const Blob& data, std::size_t shift) {
  header.resize((header.size() + 7) / 8 * 8 + shift, ' ');
  const std::uint64_t length = header.size();
  Blob out(8 + header.size());
  std::memcpy(out.data(), &length, 8);
  std::memcpy(out.data() + 8, header.data(), header.size());
  out.insert(out.end(), data.begin(), data.end());
  return out;
}

Blob safetensors_bytes(const std::vector<Tensor>& tensors, std::size_t shift) {
  std::ostringstream header;
  Blob data;
  header << R"({"__metadata__":{"format":"pt"})";
  for (const Tensor& t : tensors) {
    header << ",\"" << t.name << R"(":{"dtype":")" << dtype_name(t.type) << R"(","shape":[)";
    if (t.rows != 1) header << t.rows << ",";
    header << t.cols << R"(],"data_offsets":[)" << data.size() << "," << data.size() + t.data.size() << "]}";
    data.insert(data.end(), t.data.begin(), t.data.end());
  }
  header << "}";
  return safetensors_blob(header.str(), data, shift);
}

std::vector<Tensor> hf_named(std::vector<Tensor> tensors) {
  for (Tensor& t : tensors) t.name = hf_name(t.name);
  return tensors;
}

std::string hf_config(const DecoderSpec& s, std::string_view model_type, std::string_view extra) {
  std::ostringstream out;
  out << R"({"model_type":")" << model_type << R"(","hidden_size":)" << s.d_model << R"(,"intermediate_size":)"
      << s.d_ff << R"(,"num_hidden_layers":)" << s.layers << R"(,"num_attention_heads":)" << s.heads
      << R"(,"num_key_value_heads":)" << s.kv_heads << R"(,"head_dim":)" << s.head_dim
      << R"(,"max_position_embeddings":)" << s.context << R"(,"vocab_size":)" << s.vocab
      << R"(,"rms_norm_eps":1e-05,"rope_theta":)" << s.rope_theta << R"(,"hidden_act":"silu","tie_word_embeddings":)"
      << (s.tied_head ? "true" : "false") << extra << "}";
  return out.str();
}

}  // namespace frugal::testing

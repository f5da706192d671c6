#include "model/architectures.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <unordered_set>

#include "model/validate.hpp"

namespace frugal::model {
namespace {

constexpr std::array<std::string_view, 2> llama_types{"llama", "mistral"};
constexpr std::array<std::string_view, 1> qwen2_types{"qwen2"};
constexpr std::array<std::string_view, 1> qwen3_types{"qwen3"};

constexpr std::array<Architecture, 3> architectures{{
    {"llama", llama_types, RopeLayout::adjacent, false, false},
    {"qwen2", qwen2_types, RopeLayout::halves, true, false},
    {"qwen3", qwen3_types, RopeLayout::halves, false, true},
}};

struct Renaming {
  std::string_view hf, gguf;
};
constexpr std::array<Renaming, 3> model_names{{
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
}};
constexpr std::array<Renaming, 11> layer_names{{
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
}};

std::string renamed(std::span<const Renaming> table, std::string_view stem, std::string_view suffix,
                    const std::string& prefix) {
  const auto at = std::find_if(table.begin(), table.end(), [&](const Renaming& r) { return r.hf == stem; });
  return at == table.end() ? std::string() : prefix + std::string(at->gguf) + std::string(suffix);
}

bool has(const std::vector<Tensor>& tensors, std::string_view name) {
  return std::any_of(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.name == name; });
}

}  // namespace

const Architecture* architecture_by_name(std::string_view name) noexcept {
  const auto at =
      std::find_if(architectures.begin(), architectures.end(), [&](const Architecture& a) { return a.name == name; });
  return at == architectures.end() ? nullptr : &*at;
}

const Architecture* architecture_by_hf_type(std::string_view model_type) noexcept {
  for (const Architecture& a : architectures)
    if (std::find(a.hf_types.begin(), a.hf_types.end(), model_type) != a.hf_types.end()) return &a;
  return nullptr;
}

std::string architecture_names() {
  std::string names;
  for (const Architecture& a : architectures) names += (names.empty() ? "" : ", ") + std::string(a.name);
  return names;
}

std::string gguf_tensor_name(std::string_view hf_name) {
  const std::size_t dot = hf_name.rfind('.');
  if (dot == std::string_view::npos) return {};
  std::string_view stem = hf_name.substr(0, dot);
  const std::string_view suffix = hf_name.substr(dot);
  if (suffix != ".weight" && suffix != ".bias") return {};
  constexpr std::string_view layers = "model.layers.";
  if (!stem.starts_with(layers)) return renamed(model_names, stem, suffix, "");
  stem.remove_prefix(layers.size());
  const std::size_t digits = std::min(stem.find_first_not_of("0123456789"), stem.size());
  if (digits == 0 || digits > 6 || digits == stem.size() || stem[digits] != '.') return {};
  return renamed(layer_names, stem.substr(digits + 1), suffix, "blk." + std::string(stem.substr(0, digits)) + ".");
}

void complete_from_tensors(DecoderSpec& spec, const std::vector<Tensor>& tensors) {
  const auto embedding =
      std::find_if(tensors.begin(), tensors.end(), [](const Tensor& t) { return t.name == "token_embd.weight"; });
  if (embedding == tensors.end()) throw Error(Errc::bad_model, "tensor token_embd.weight is missing");
  spec.vocab = static_cast<std::uint32_t>(std::min<std::uint64_t>(embedding->rows, 0xFFFFFFFFU));
  spec.qkv_bias = spec.qkv_bias || has(tensors, "blk.0.attn_q.bias");
  spec.tied_head = !has(tensors, "output.weight");
}

void reject_unknown(const DecoderSpec& spec, const std::vector<Tensor>& tensors, const std::string& file) {
  check_spec(spec);
  std::unordered_set<std::string> wanted;
  for (Wanted& want : wanted_tensors(spec)) wanted.insert(std::move(want.name));
  for (const Tensor& t : tensors)
    if (!wanted.contains(t.name))
      throw Error(Errc::unsupported, file + ": tensor " + t.name + " has no part in the " + spec.architecture +
                                         " decoder of " + std::to_string(spec.layers) + " layers we run");
}

std::vector<float> llama3_divisors(const DecoderSpec& spec, const Llama3Scaling& s) {
  std::vector<float> divisors;
  for (std::uint32_t i = 0; i < spec.rope_dims / 2; ++i) {
    const double frequency = std::pow(spec.rope_theta, -2.0 * i / spec.rope_dims);
    const double wavelength = 2 * std::numbers::pi / frequency;
    double divisor = 1;
    if (wavelength > s.original_context / s.low_freq_factor) {
      divisor = s.factor;
    } else if (wavelength >= s.original_context / s.high_freq_factor) {
      const double smooth =
          (s.original_context / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
      divisor = 1 / ((1 - smooth) / s.factor + smooth);
    }
    divisors.push_back(static_cast<float>(divisor));
  }
  return divisors;
}

}  // namespace frugal::model

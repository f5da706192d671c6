#include "model/architectures.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_set>

#include "model/validate.hpp"

namespace frugal::model {
namespace {

constexpr std::string_view llama_types[]{"llama", "mistral", "mixtral"};
constexpr std::string_view qwen2_types[]{"qwen2"};
constexpr std::string_view qwen3_types[]{"qwen3"};
constexpr std::string_view qwen2moe_types[]{"qwen2_moe"};
constexpr std::string_view qwen3moe_types[]{"qwen3_moe"};
constexpr std::string_view gemma2_types[]{"gemma2"};
constexpr std::string_view gemma3_types[]{"gemma3_text"};
constexpr std::string_view phi3_types[]{"phi3"};

constexpr std::array<Architecture, 8> architectures{{
    {.name = "llama", .hf_types = llama_types, .gguf_rope = RopeLayout::adjacent, .renormalise = true},
    {.name = "qwen2", .hf_types = qwen2_types, .qkv_bias = true},
    {.name = "qwen3", .hf_types = qwen3_types, .qk_norm = true},
    {.name = "qwen2moe", .hf_types = qwen2moe_types, .qkv_bias = true},
    {.name = "qwen3moe", .hf_types = qwen3moe_types, .qk_norm = true, .renormalise = true},
    {.name = "gemma2",
     .hf_types = gemma2_types,
     .gemma = true,
     .window = 4096,
     .window_period = 2,
     .attention_softcap = 50,
     .logit_softcap = 30},
    {.name = "gemma3",
     .hf_types = gemma3_types,
     .qk_norm = true,
     .gemma = true,
     .window_period = 6,
     .local_rope_theta = 10000},
    {.name = "phi3", .hf_types = phi3_types, .fused_up = true},
}};

struct Renaming {
  std::string_view hf, gguf;
};
constexpr std::array<Renaming, 3> model_names{{
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
}};
constexpr std::array<Renaming, 20> layer_names{{
    {"input_layernorm", "attn_norm"},
    {"self_attn.qkv_proj", "attn_qkv"},
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
    {"mlp.gate_up_proj", "ffn_gate_up"},
    {"mlp.gate", "ffn_gate_inp"},
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
    {"pre_feedforward_layernorm", "ffn_norm"},
}};
/// Where a norm follows the attention and another the feed-forward part.
constexpr std::array<Renaming, 2> post_norm_names{{
    {"post_attention_layernorm", "post_attention_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
}};
constexpr std::array<Renaming, 6> expert_names{{
    {"gate_proj", "ffn_gate"},
    {"up_proj", "ffn_up"},
    {"down_proj", "ffn_down"},
    {"w1", "ffn_gate"},
    {"w3", "ffn_up"},
    {"w2", "ffn_down"},
}};

std::string renamed(std::span<const Renaming> table, std::string_view stem, std::string_view suffix,
                    const std::string& prefix) {
  const auto at = std::find_if(table.begin(), table.end(), [&](const Renaming& r) { return r.hf == stem; });
  return at == table.end() ? std::string() : prefix + std::string(at->gguf) + std::string(suffix);
}

/// "mlp.experts.7.up_proj" or "block_sparse_moe.experts.7.w3"; empty for another name.
std::string renamed_expert(std::string_view stem, std::string_view suffix, const std::string& prefix) {
  for (const std::string_view experts : {"mlp.experts.", "block_sparse_moe.experts."}) {
    if (!stem.starts_with(experts)) continue;
    const std::string_view rest = stem.substr(experts.size());
    const std::size_t dot = rest.find('.');
    if (dot == 0 || dot > 4 || rest.find_first_not_of("0123456789") != dot) return {};
    return renamed(expert_names, rest.substr(dot + 1), "." + std::string(rest.substr(0, dot)) + std::string(suffix),
                   prefix);
  }
  return {};
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

std::string hf_type_names() {
  std::string names;
  for (const Architecture& a : architectures)
    for (const std::string_view type : a.hf_types) names += (names.empty() ? "" : ", ") + std::string(type);
  return names;
}

std::string gguf_tensor_name(std::string_view hf_name, bool post_norms) {
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
  const std::string blk = "blk." + std::string(stem.substr(0, digits)) + ".";
  const std::string_view part = stem.substr(digits + 1);
  if (std::string name = post_norms ? renamed(post_norm_names, part, suffix, blk) : ""; !name.empty()) return name;
  if (std::string name = renamed_expert(part, suffix, blk); !name.empty()) return name;
  return renamed(layer_names, part, suffix, blk);
}

void complete_from_tensors(DecoderSpec& spec, const std::vector<Tensor>& tensors) {
  const auto embedding =
      std::find_if(tensors.begin(), tensors.end(), [](const Tensor& t) { return t.name == "token_embd.weight"; });
  if (embedding == tensors.end()) throw Error(Errc::bad_model, "tensor token_embd.weight is missing");
  spec.vocab = static_cast<std::uint32_t>(std::min<std::uint64_t>(embedding->rows, 0xFFFFFFFFU));
  spec.qkv_bias = spec.qkv_bias || has(tensors, "blk.0.attn_q.bias");
  spec.tied_head = !has(tensors, "output.weight");
}

void apply_family(DecoderSpec& spec, const Architecture& architecture) {
  spec.architecture = architecture.name;
  spec.qkv_bias = architecture.qkv_bias;
  spec.qk_norm = architecture.qk_norm;
  spec.experts.renormalise = architecture.renormalise;
  spec.attention_softcap = architecture.attention_softcap;
  spec.logit_softcap = architecture.logit_softcap;
  spec.local_rope_theta = architecture.local_rope_theta;
  if (!architecture.gemma) return;
  spec.post_norms = true;
  spec.activation = Activation::gelu_tanh;
}

void alternate_windows(DecoderSpec& spec, std::uint32_t period) {
  spec.full_attention.clear();
  if (period == 0 || spec.sliding_window == 0 || spec.layers > 4096) return;  // check_spec refuses so many
  for (std::uint32_t l = 0; l < spec.layers; ++l) spec.full_attention.push_back((l + 1) % period == 0 ? 1 : 0);
}

void reject_unknown(const DecoderSpec& spec, const std::vector<Tensor>& tensors, const std::string& file) {
  check_spec(spec);
  std::unordered_set<std::string> wanted;
  for (Wanted& want : wanted_tensors(spec)) wanted.insert(std::move(want.name));
  for (const Tensor& t : tensors)
    if (!wanted.contains(t.name))
      throw Error(Errc::unsupported, file + ": tensor " + t.name + " is not used by the " + spec.architecture +
                                         " decoder of " + std::to_string(spec.layers) + " layers");
}

namespace {

using Tensors = std::vector<Tensor>;

/// Rows [first, first + count) of a tensor under another name.
Tensor rows_of(const Tensor& t, std::uint64_t first, std::uint64_t count, std::string name) {
  Tensor part = t;
  part.name = std::move(name);
  part.rows = count;
  part.data = t.data.subspan(first * t.row_bytes(), count * t.row_bytes());
  return part;
}

/// "blk.3." and "attn_qkv" of "blk.3.attn_qkv.weight"; empty for a name that is not a layer's weight.
struct LayerName {
  std::string blk{}, part{};
};
LayerName layer_name(std::string_view name) {
  constexpr std::string_view weight = ".weight";
  const std::size_t dot = name.find('.', 4);
  if (!name.starts_with("blk.") || dot == std::string_view::npos || !name.ends_with(weight)) return {};
  const std::string_view rest = name.substr(dot + 1);
  if (rest.size() <= weight.size()) return {};
  return {std::string(name.substr(0, dot + 1)), std::string(rest.substr(0, rest.size() - weight.size()))};
}

void split_qkv(const DecoderSpec& s, const Tensor& t, const std::string& blk, Tensors& out) {
  const std::uint64_t q = s.q_width(), kv = s.kv_width();
  out.push_back(rows_of(t, 0, q, blk + "attn_q.weight"));
  out.push_back(rows_of(t, q, kv, blk + "attn_k.weight"));
  out.push_back(rows_of(t, q + kv, kv, blk + "attn_v.weight"));
}

void split_gate_up(const DecoderSpec& s, const Tensor& t, const std::string& blk, Tensors& out) {
  out.push_back(rows_of(t, 0, s.d_ff, blk + "ffn_gate.weight"));
  out.push_back(rows_of(t, s.d_ff, s.d_ff, blk + "ffn_up.weight"));
}

/// One matrix above the other, as GGUF files hold the experts of a layer.
void split_experts(const DecoderSpec& s, const Tensor& t, const LayerName& name, Tensors& out) {
  const std::uint64_t rows = t.rows / s.experts.count;
  const std::string part = name.part.substr(0, name.part.size() - std::string_view("_exps").size());
  for (std::uint32_t e = 0; e < s.experts.count; ++e)
    out.push_back(rows_of(t, e * rows, rows, name.blk + part + "." + std::to_string(e) + ".weight"));
}

/// True where a fused tensor was split. One that does not have the expected rows stays whole and is refused by name.
bool split(const DecoderSpec& s, const Tensor& t, bool fused_up, Tensors& out) {
  const LayerName name = layer_name(t.name);
  const std::uint64_t qkv = std::uint64_t{s.q_width()} + 2 * std::uint64_t{s.kv_width()};
  if (name.part == "attn_qkv" && t.rows == qkv) {
    split_qkv(s, t, name.blk, out);
    return true;
  }
  const bool gate_up = name.part == "ffn_gate_up" || (fused_up && name.part == "ffn_up");
  if (gate_up && t.rows == 2 * std::uint64_t{s.d_ff}) {
    split_gate_up(s, t, name.blk, out);
    return true;
  }
  const bool experts = name.part == "ffn_gate_exps" || name.part == "ffn_up_exps" || name.part == "ffn_down_exps";
  if (experts && s.experts.count != 0 && t.rows % s.experts.count == 0) {
    split_experts(s, t, name, out);
    return true;
  }
  return false;
}

}  // namespace

void split_fused(const DecoderSpec& spec, std::vector<Tensor>& tensors) {
  check_spec(spec);
  const Architecture* architecture = architecture_by_name(spec.architecture);
  Tensors out;
  out.reserve(tensors.size());
  for (Tensor& t : tensors)
    if (!split(spec, t, architecture != nullptr && architecture->fused_up, out)) out.push_back(std::move(t));
  tensors = std::move(out);
}

}  // namespace frugal::model

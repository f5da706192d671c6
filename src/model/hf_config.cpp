// From a Hugging Face config.json to a DecoderSpec: the same architectures, other names.
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/json_tree.hpp"
#include "model/architectures.hpp"
#include "model/loaders.hpp"
#include "model/rope_scaling.hpp"

namespace frugal::model {
namespace {

using Json = nlohmann::json;

/// A JSON object whose fields are read with a type and a range; null counts as absent, as transformers writes it.
class Fields {
 public:
  Fields(const Json& object, std::string file, std::string path = "")
      : object_(&object), file_(std::move(file)), path_(std::move(path)) {}

  [[noreturn]] void fail(Errc code, std::string_view field, const std::string& reason) const {
    throw Error(code, file_ + ": field '" + path_ + std::string(field) + "' " + reason);
  }
  const Json* find(std::string_view field) const {
    const auto at = object_->find(field);
    return at == object_->end() || at->is_null() ? nullptr : &*at;
  }
  std::optional<std::uint32_t> size(std::string_view field) const {
    const Json* value = find(field);
    if (!value) return std::nullopt;
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > 0x7FFFFFFF)
      fail(Errc::bad_file, field, "must be a whole number below 2^31");
    return static_cast<std::uint32_t>(value->get<std::uint64_t>());
  }
  std::uint32_t required(std::string_view field) const {
    const auto value = size(field);
    if (!value) fail(Errc::bad_model, field, "is missing");
    return *value;
  }
  double number(std::string_view field, double fallback) const {
    const Json* value = find(field);
    if (!value) return fallback;
    if (!value->is_number()) fail(Errc::bad_file, field, "must be a number");
    return value->get<double>();
  }
  bool flag(std::string_view field, bool fallback) const {
    const Json* value = find(field);
    if (!value) return fallback;
    if (!value->is_boolean()) fail(Errc::bad_file, field, "must be true or false");
    return value->get<bool>();
  }
  std::string text(std::string_view field, const std::string& fallback) const {
    const Json* value = find(field);
    if (!value) return fallback;
    if (!value->is_string()) fail(Errc::bad_file, field, "must be a string");
    return value->get<std::string>();
  }
  /// Whether the field is there, be it null.
  bool has(std::string_view field) const { return object_->contains(field); }
  std::vector<float> numbers(std::string_view field) const {
    const Json* value = find(field);
    if (!value) fail(Errc::bad_model, field, "is missing");
    std::vector<float> out;
    for (const Json& n : value->is_array() ? *value : Json::array({nullptr})) {
      if (!n.is_number()) fail(Errc::bad_file, field, "must be a list of numbers");
      out.push_back(n.get<float>());
    }
    return out;
  }
  std::optional<Fields> object(std::string_view field) const {
    const Json* value = find(field);
    if (!value) return std::nullopt;
    if (!value->is_object()) fail(Errc::bad_file, field, "must be an object");
    return Fields(*value, file_, path_ + std::string(field) + ".");
  }

 private:
  const Json* object_;
  std::string file_, path_;
};

Json parse(std::string_view json, const std::string& file) {
  Json parsed = parse_json_tree(json, file);
  if (!parsed.is_object()) throw Error(Errc::bad_file, file + ": byte 0: not a JSON object");
  return parsed;
}

/// Switches of these and of other families that our forward pass lacks, with the value that leaves it as it is.
void reject_extensions(const Fields& config) {
  for (const char* field : {"mlp_bias", "use_qk_norm", "use_parallel_residual", "alibi", "attn_output_gate"})
    if (config.flag(field, false)) config.fail(Errc::unsupported, field, "is true, which is not supported");
  for (const auto& [field, neutral] : {std::pair{"clip_qkv", 0.0},
                                       {"embedding_multiplier", 1.0},
                                       {"residual_multiplier", 1.0},
                                       {"attention_multiplier", 0.0},
                                       {"logits_scaling", 1.0},
                                       {"logit_scale", 1.0},
                                       {"scale_emb", 1.0},
                                       {"scale_depth", 1.0},
                                       {"attention_chunk_size", 0.0}})
    if (const double value = config.number(field, neutral); value != neutral)
      config.fail(Errc::unsupported, field, "is " + std::to_string(value) + ", which is not supported");
  if (config.find("no_rope_layers")) config.fail(Errc::unsupported, "no_rope_layers", "is not supported");
  if (config.find("quantization_config"))
    config.fail(Errc::unsupported, "quantization_config",
                "names a quantised checkpoint; only F32, F16 and BF16 safetensors are supported");
}

/// Gemma's own implementation reads "hidden_activation" alone.
Activation read_activation(const Fields& config, const Architecture& architecture) {
  const char* field = architecture.gemma ? "hidden_activation" : "hidden_act";
  const std::string usual = architecture.gemma ? "gelu_pytorch_tanh" : "silu";
  const std::string name = config.text(field, usual);
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::gelu_tanh;
  config.fail(Errc::unsupported, field, "is '" + name + "', supported are silu and gelu_pytorch_tanh");
}

Llama3Scaling read_llama3(const Fields& scaling) {
  const Llama3Scaling s{scaling.number("factor", 0), scaling.number("low_freq_factor", 1),
                        scaling.number("high_freq_factor", 4), scaling.number("original_max_position_embeddings", 0)};
  if (!(s.factor > 0) || !(s.low_freq_factor > 0) || !(s.high_freq_factor > s.low_freq_factor) ||
      !(s.original_context > 0))
    scaling.fail(Errc::bad_model, "factor", "and the other llama3 factors are missing or out of order");
  return s;
}

YarnScaling read_yarn(const Fields& scaling, const DecoderSpec& spec) {
  YarnScaling s;
  s.factor = scaling.number("factor", 0);
  s.original_context = scaling.number("original_max_position_embeddings", spec.context);
  s.beta_fast = scaling.number("beta_fast", s.beta_fast), s.beta_slow = scaling.number("beta_slow", s.beta_slow);
  s.truncate = scaling.flag("truncate", true);
  if (!(s.factor > 0) || !(s.original_context > 0) || !(s.beta_fast > 0) || !(s.beta_slow > 0))
    scaling.fail(Errc::bad_model, "factor", "and the other YaRN factors must be positive");
  for (const char* field : {"mscale", "mscale_all_dim"})
    if (scaling.find(field)) scaling.fail(Errc::unsupported, field, "is not supported");
  return s;
}

/// LongRoPE's long factors, or its short ones where no more than the original context is wanted.
void read_longrope(const Fields& config, const Fields& scaling, std::uint32_t wanted, DecoderSpec& spec) {
  const double original = config.number("original_max_position_embeddings",
                                        scaling.number("original_max_position_embeddings", spec.context));
  const bool is_long = (wanted == 0 ? spec.context : wanted) > original;
  spec.rope_divisors = scaling.numbers(is_long ? "long_factor" : "short_factor");
  const double stretch =
      config.find("original_max_position_embeddings") ? spec.context / original : scaling.number("factor", 1);
  spec.rope_scale =
      static_cast<float>(scaling.number("attention_factor", longrope_scale(stretch * original, original)));
}

/// rope_scaling, or rope_parameters in newer files: it holds rope_theta too, and one object for each kind of layer where
/// these differ.
void read_rope(const Fields& config, std::uint32_t wanted, DecoderSpec& spec) {
  spec.rope_theta = config.number("rope_theta", spec.rope_theta);
  spec.local_rope_theta = config.number("rope_local_base_freq", spec.local_rope_theta);
  auto scaling = config.object("rope_parameters");
  if (scaling && scaling->find("full_attention")) {
    const auto local = scaling->object("sliding_attention");
    if (local) spec.local_rope_theta = local->number("rope_theta", spec.local_rope_theta);
    scaling = scaling->object("full_attention");
  }
  if (scaling) spec.rope_theta = scaling->number("rope_theta", spec.rope_theta);
  if (!scaling) scaling = config.object("rope_scaling");
  if (!scaling) return;
  const std::string type = scaling->text("rope_type", scaling->text("type", "default"));
  if (type == "default") return;
  if (spec.rope_dims > 1U << 16) config.fail(Errc::bad_model, "head_dim", "is too large");
  if (type == "linear") {
    spec.rope_divisors.assign(spec.rope_dims / 2, static_cast<float>(scaling->number("factor", 1.0)));
  } else if (type == "llama3") {
    spec.rope_divisors = llama3_divisors(spec, read_llama3(*scaling));
  } else if (type == "yarn") {
    const YarnScaling yarn = read_yarn(*scaling, spec);
    spec.rope_divisors = yarn_divisors(spec, yarn);
    spec.rope_scale = static_cast<float>(scaling->number("attention_factor", yarn_scale(yarn.factor)));
  } else if (type == "longrope" || type == "su") {
    read_longrope(config, *scaling, wanted, spec);
  } else {
    scaling->fail(Errc::unsupported, "rope_type",
                  "is '" + type + "', supported are default, linear, llama3, yarn and longrope");
  }
}

/// layer_types, one word a layer.
bool read_layer_types(const Fields& config, DecoderSpec& spec) {
  const Json* types = config.find("layer_types");
  if (types == nullptr) return false;
  if (!types->is_array() || types->size() != spec.layers)
    config.fail(Errc::bad_model, "layer_types", "must be a list of " + std::to_string(spec.layers) + " words");
  bool slides = false;
  for (const Json& type : *types) {
    const bool full = type == Json("full_attention");
    if (!full && type != Json("sliding_attention"))
      config.fail(Errc::unsupported, "layer_types",
                  "holds " + json_excerpt(type) + ", supported are full_attention and sliding_attention");
    spec.full_attention.push_back(full ? 1 : 0);
    slides = slides || !full;
  }
  if (slides && spec.sliding_window == 0)
    config.fail(Errc::bad_model, "layer_types", "holds sliding_attention, but there is no sliding_window");
  if (!slides) spec.sliding_window = 0, spec.full_attention.clear();
  return true;
}

/// layer_types decide where a file has them. Else Qwen has a window only with use_sliding_window, from layer
/// max_window_layers on; Gemma in all but every period-th layer; Mistral, Mixtral and Phi-3 in all layers.
void read_window(const Fields& config, const Architecture& architecture, DecoderSpec& spec) {
  const bool llama = config.text("model_type", "") == "llama";  // whose own implementation knows no window
  spec.sliding_window = llama ? 0 : config.size("sliding_window").value_or(0);
  if (read_layer_types(config, spec)) return;
  const bool qwen = architecture.name.starts_with("qwen");
  if (!config.flag("use_sliding_window", !qwen)) spec.sliding_window = 0;
  if (spec.sliding_window == 0 || spec.layers > 4096) return;
  if (!qwen) {
    alternate_windows(spec, config.size("sliding_window_pattern").value_or(architecture.window_period));
    return;
  }
  const std::uint32_t full_layers = config.size("max_window_layers").value_or(spec.layers);
  for (std::uint32_t l = 0; l < spec.layers; ++l) spec.full_attention.push_back(l < full_layers ? 1 : 0);
  if (full_layers >= spec.layers) spec.sliding_window = 0;
  if (full_layers == 0 || spec.sliding_window == 0) spec.full_attention.clear();
}

void read_experts(const Fields& config, DecoderSpec& spec) {
  ExpertsSpec& e = spec.experts;
  e.count = config.size("num_local_experts").value_or(config.size("num_experts").value_or(0));
  if (e.count == 0) {
    e = {};
    return;
  }
  e.used = config.required("num_experts_per_tok");
  e.d_ff = config.size("moe_intermediate_size").value_or(spec.d_ff);
  e.shared_d_ff = config.size("shared_expert_intermediate_size").value_or(0);
  if (config.find("norm_topk_prob")) e.renormalise = config.flag("norm_topk_prob", false);
  if (config.size("decoder_sparse_step").value_or(1) != 1)
    config.fail(Errc::unsupported, "decoder_sparse_step", "is not 1: layers without experts are not supported");
  if (const Json* dense = config.find("mlp_only_layers"); dense != nullptr && !dense->empty())
    config.fail(Errc::unsupported, "mlp_only_layers", "names layers without experts, which are not supported");
}

/// What Gemma's configs say beyond the others'.
void read_gemma(const Fields& config, DecoderSpec& spec) {
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.d_model));
  const double queries = config.number("query_pre_attn_scalar", 256);
  if (!(queries > 0)) config.fail(Errc::bad_model, "query_pre_attn_scalar", "must be positive");
  spec.attention_scale = static_cast<float>(1.0 / std::sqrt(queries));
  if (config.flag("use_bidirectional_attention", false))
    config.fail(Errc::unsupported, "use_bidirectional_attention", "is true, which is not supported");
}

/// A cap that a file sets to null is none; one that it does not mention is the family's.
float read_softcap(const Fields& config, const char* field, float usual) {
  return config.has(field) ? static_cast<float>(config.number(field, 0)) : usual;
}

std::uint32_t rotated_dims(const Fields& config, std::uint32_t head_dim) {
  const double share = config.number("partial_rotary_factor", 1.0);
  if (!(share > 0) || share > 1) config.fail(Errc::bad_model, "partial_rotary_factor", "must be above 0 and at most 1");
  return static_cast<std::uint32_t>(share * head_dim);
}

}  // namespace

DecoderSpec spec_from_hf_config(std::string_view json, const std::string& file, std::uint32_t context) {
  const Json parsed = parse(json, file);
  const Fields config(parsed, file);
  const std::string type = config.text("model_type", "");
  const Architecture* architecture = architecture_by_hf_type(type);
  if (!architecture)
    config.fail(Errc::unsupported, "model_type", "is '" + type + "', supported are " + hf_type_names());
  reject_extensions(config);
  DecoderSpec spec;
  apply_family(spec, *architecture);
  spec.rope_layout = RopeLayout::halves;
  spec.activation = read_activation(config, *architecture);
  spec.layers = config.required("num_hidden_layers");
  spec.d_model = config.required("hidden_size");
  spec.d_ff = config.required("intermediate_size");
  spec.heads = config.required("num_attention_heads");
  spec.kv_heads = config.size("num_key_value_heads").value_or(spec.heads);
  spec.head_dim = config.size("head_dim").value_or(spec.heads == 0 ? 0 : spec.d_model / spec.heads);
  spec.context = config.required("max_position_embeddings");
  spec.vocab = config.required("vocab_size");
  spec.rms_eps = static_cast<float>(config.number("rms_norm_eps", 1e-6));
  spec.rope_dims = rotated_dims(config, spec.head_dim);
  spec.tied_head = config.flag("tie_word_embeddings", architecture->gemma);
  spec.attention_softcap = read_softcap(config, "attn_logit_softcapping", spec.attention_softcap);
  spec.logit_softcap = read_softcap(config, "final_logit_softcapping", spec.logit_softcap);
  if (architecture->gemma) read_gemma(config, spec);
  read_window(config, *architecture, spec);
  read_experts(config, spec);
  read_rope(config, context, spec);
  if (context != 0) spec.context = std::min(spec.context, context);
  return spec;
}

}  // namespace frugal::model

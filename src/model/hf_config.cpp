// From a Hugging Face config.json to a DecoderSpec: the same architectures, other names.
#include <frugal/core/error.hpp>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/json_tree.hpp"
#include "model/architectures.hpp"
#include "model/loaders.hpp"

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

/// Switches these families have and our forward pass has not.
void reject_extensions(const Fields& config) {
  if (const std::string act = config.text("hidden_act", "silu"); act != "silu")
    config.fail(Errc::unsupported, "hidden_act", "is '" + act + "', supported is silu");
  if (config.flag("mlp_bias", false))
    config.fail(Errc::unsupported, "mlp_bias", "is true: biases of the feed-forward part are not supported");
  if (config.find("quantization_config"))
    config.fail(Errc::unsupported, "quantization_config",
                "names a quantised checkpoint; only F32, F16 and BF16 safetensors are supported");
}

Llama3Scaling read_llama3(const Fields& scaling) {
  const Llama3Scaling s{scaling.number("factor", 0), scaling.number("low_freq_factor", 1),
                        scaling.number("high_freq_factor", 4), scaling.number("original_max_position_embeddings", 0)};
  if (!(s.factor > 0) || !(s.low_freq_factor > 0) || !(s.high_freq_factor > s.low_freq_factor) ||
      !(s.original_context > 0))
    scaling.fail(Errc::bad_model, "factor", "and the other llama3 factors are missing or out of order");
  return s;
}

/// rope_scaling, or rope_parameters in newer files (which hold rope_theta too).
void read_rope(const Fields& config, DecoderSpec& spec) {
  spec.rope_theta = config.number("rope_theta", 10000.0);
  auto scaling = config.object("rope_parameters");
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
  } else {
    scaling->fail(Errc::unsupported, "rope_type", "is '" + type + "', supported are default, linear and llama3");
  }
}

/// Mistral: a window or null. Qwen: a window only behind use_sliding_window, and only from layer max_window_layers on.
std::uint32_t read_window(const Fields& config, const std::string& model_type, std::uint32_t layers) {
  if (model_type == "mistral") return config.size("sliding_window").value_or(0);
  if (!config.flag("use_sliding_window", false)) return 0;
  const std::uint32_t full_layers = config.size("max_window_layers").value_or(layers);
  if (full_layers >= layers) return 0;
  if (full_layers != 0)
    config.fail(Errc::unsupported, "max_window_layers",
                "leaves some layers without the sliding window; all or none are supported");
  return config.size("sliding_window").value_or(0);
}

}  // namespace

DecoderSpec spec_from_hf_config(std::string_view json, const std::string& file) {
  const Json parsed = parse(json, file);
  const Fields config(parsed, file);
  const std::string type = config.text("model_type", "");
  const Architecture* architecture = architecture_by_hf_type(type);
  if (!architecture)
    config.fail(Errc::unsupported, "model_type", "is '" + type + "', supported are llama, mistral, qwen2 and qwen3");
  reject_extensions(config);
  DecoderSpec spec;
  spec.architecture = architecture->name;
  spec.rope_layout = RopeLayout::halves;
  spec.qkv_bias = architecture->qkv_bias, spec.qk_norm = architecture->qk_norm;
  spec.layers = config.required("num_hidden_layers");
  spec.d_model = config.required("hidden_size");
  spec.d_ff = config.required("intermediate_size");
  spec.heads = config.required("num_attention_heads");
  spec.kv_heads = config.size("num_key_value_heads").value_or(spec.heads);
  spec.head_dim = config.size("head_dim").value_or(spec.heads == 0 ? 0 : spec.d_model / spec.heads);
  spec.context = config.required("max_position_embeddings");
  spec.vocab = config.required("vocab_size");
  spec.rms_eps = static_cast<float>(config.number("rms_norm_eps", 1e-6));
  spec.rope_dims = spec.head_dim;
  spec.tied_head = config.flag("tie_word_embeddings", false);
  spec.sliding_window = read_window(config, type, spec.layers);
  read_rope(config, spec);
  return spec;
}

}  // namespace frugal::model

// From GGUF metadata to a DecoderSpec.
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>

#include "model/architectures.hpp"
#include "model/loaders.hpp"
#include "model/rope_scaling.hpp"

namespace frugal::model {
namespace {

constexpr std::uint64_t most = 0x7FFFFFFF;

/// The keys below "<architecture>.".
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view architecture) : file_(file), prefix_(std::string(architecture) + ".") {}

  std::string key(std::string_view leaf) const { return prefix_ + std::string(leaf); }
  std::uint32_t required(std::string_view leaf) const {
    const auto value = file_.integer(key(leaf), most);
    if (!value) throw Error(Errc::bad_model, file_.name() + ": metadata key '" + key(leaf) + "' is missing");
    return static_cast<std::uint32_t>(*value);
  }
  std::uint32_t optional(std::string_view leaf, std::uint32_t fallback) const {
    return static_cast<std::uint32_t>(file_.integer(key(leaf), most).value_or(fallback));
  }
  double number(std::string_view leaf, double fallback) const { return file_.number(key(leaf)).value_or(fallback); }
  [[noreturn]] void unsupported(std::string_view leaf, const std::string& what) const {
    throw Error(Errc::unsupported, file_.name() + ": metadata key '" + key(leaf) + "': " + what);
  }
  const GgufFile& file() const { return file_; }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

/// Keys of other families that change the forward pass, with the value that leaves it as it is.
struct Neutral {
  std::string_view leaf;
  double value;
};
constexpr Neutral neutral_numbers[]{
    {"attention.clamp_kqv", 0},  {"attention.max_alibi_bias", 0}, {"logit_scale", 1},
    {"embedding_scale", 1},      {"residual_scale", 1},           {"leading_dense_block_count", 0},
    {"expert_group_count", 0},   {"expert_weights_scale", 1},     {"rope.scaling.yarn_ext_factor", 1},
    {"nextn_predict_layers", 0}, {"attention.q_lora_rank", 0},    {"attention.kv_lora_rank", 0},
    {"attention.chunk_size", 0}, {"router_logit_softcapping", 0}, {"interleave_moe_layer_step", 1},
};

/// Extensions that change the forward pass and that we lack, where a file uses one.
void reject_extensions(const Keys& keys, const DecoderSpec& spec) {
  if (keys.optional("attention.value_length", spec.head_dim) != spec.head_dim)
    keys.unsupported("attention.value_length", "values of another width than keys are not supported");
  if (!keys.file().boolean(keys.key("attention.causal")).value_or(true))
    keys.unsupported("attention.causal", "attention that is not causal is not supported");
  if (keys.file().boolean(keys.key("use_parallel_residual")).value_or(false))
    keys.unsupported("use_parallel_residual", "parallel residuals are not supported");
  for (const Neutral& n : neutral_numbers)
    if (const double value = keys.number(n.leaf, n.value); value != n.value && value != 0)
      keys.unsupported(n.leaf, "the value " + std::to_string(value) + " is not supported");
  if (keys.optional("expert_gating_func", 0) > 1)
    keys.unsupported("expert_gating_func", "experts chosen other than by softmax are not supported");
}

/// Linear scaling and YaRN; Llama 3's bands and LongRoPE's factors come as tensors and are read elsewhere.
void read_rope_scaling(const Keys& keys, DecoderSpec& spec) {
  const std::string type(keys.file().string(keys.key("rope.scaling.type")).value_or(""));
  const double original = keys.number("rope.scaling.original_context_length", spec.context);
  spec.rope_scale = static_cast<float>(keys.number("rope.scaling.attn_factor", 1.0));
  if (type == "longrope") {
    if (!keys.file().has(keys.key("rope.scaling.attn_factor")))
      spec.rope_scale = static_cast<float>(longrope_scale(spec.context, original));
    return;
  }
  const double legacy = keys.number("rope.scale_linear", 1.0);
  const double factor = type == "none" ? 1.0 : keys.number("rope.scaling.factor", legacy);
  if (type == "yarn") {
    if (!(factor > 0) || !(original > 0)) keys.unsupported("rope.scaling.factor", "YaRN needs a factor and a context");
    spec.rope_divisors = yarn_divisors(spec, {factor, original, keys.number("rope.scaling.yarn_beta_fast", 32),
                                              keys.number("rope.scaling.yarn_beta_slow", 1)});
    spec.rope_scale *= static_cast<float>(yarn_scale(factor));
    return;
  }
  if (!type.empty() && type != "none" && type != "linear")
    keys.unsupported("rope.scaling.type", "'" + type + "' is not supported (none, linear, yarn and longrope are)");
  if (factor != 1.0 && factor != 0.0) spec.rope_divisors.assign(spec.rope_dims / 2, static_cast<float>(factor));
}

/// Which layers have the window: a list, a period, or as the family does.
void read_windows(const Keys& keys, const Architecture& architecture, DecoderSpec& spec) {
  spec.sliding_window = keys.optional("attention.sliding_window", architecture.window);
  if (spec.sliding_window == 0) return;
  const std::string pattern = keys.key("attention.sliding_window_pattern");
  if (const auto slides = keys.file().flags(pattern)) {
    for (const bool slide : *slides) spec.full_attention.push_back(slide ? 0 : 1);
    if (slides->size() != spec.layers)
      keys.unsupported("attention.sliding_window_pattern",
                       std::to_string(slides->size()) + " entries for " + std::to_string(spec.layers) + " layers");
    return;
  }
  alternate_windows(spec, keys.optional("attention.sliding_window_pattern", architecture.window_period));
}

void read_experts(const Keys& keys, DecoderSpec& spec) {
  ExpertsSpec& e = spec.experts;
  e.count = keys.optional("expert_count", 0);
  if (e.count == 0) {
    e = {};
    return;
  }
  e.used = keys.required("expert_used_count");
  e.d_ff = keys.optional("expert_feed_forward_length", spec.d_ff);
  e.shared_d_ff = keys.optional("expert_shared_feed_forward_length", 0);
  e.renormalise = keys.file().boolean(keys.key("expert_weights_norm")).value_or(e.renormalise);
}

/// A query is divided by sqrt(head_dim), in the largest Gemmas by sqrt(d_model / heads); files do not say so.
void read_gemma(const Keys& keys, DecoderSpec& spec) {
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.d_model));
  const bool largest =
      (spec.architecture == "gemma2" && spec.layers == 46) || (spec.architecture == "gemma3" && spec.layers == 62);
  if (largest && spec.heads != 0)
    spec.attention_scale = 1.0F / std::sqrt(static_cast<float>(spec.d_model) / static_cast<float>(spec.heads));
  spec.local_rope_theta = keys.number("rope.freq_base_swa", spec.local_rope_theta);
}

}  // namespace

DecoderSpec spec_from_gguf(const GgufFile& file, const std::vector<Tensor>& tensors) {
  const auto name = file.string("general.architecture");
  if (!name) throw Error(Errc::bad_model, file.name() + ": metadata key 'general.architecture' is missing");
  const Architecture* architecture = architecture_by_name(*name);
  if (!architecture)
    throw Error(Errc::unsupported, file.name() + ": architecture '" + std::string(*name) + "' is not supported (" +
                                       architecture_names() + " are)");
  const Keys keys(file, *name);
  DecoderSpec spec;
  apply_family(spec, *architecture);
  spec.rope_layout = architecture->gguf_rope;
  spec.layers = keys.required("block_count");
  spec.d_model = keys.required("embedding_length");
  spec.d_ff = keys.required("feed_forward_length");
  spec.heads = keys.required("attention.head_count");
  spec.kv_heads = keys.optional("attention.head_count_kv", spec.heads);
  spec.head_dim = keys.optional("attention.key_length", spec.heads == 0 ? 0 : spec.d_model / spec.heads);
  spec.context = keys.required("context_length");
  spec.rms_eps = static_cast<float>(keys.number("attention.layer_norm_rms_epsilon", 1e-5));
  spec.rope_theta = keys.number("rope.freq_base", 10000.0);
  spec.rope_dims = keys.optional("rope.dimension_count", spec.head_dim);
  spec.attention_scale = static_cast<float>(keys.number("attention.scale", 0));
  spec.attention_softcap = static_cast<float>(keys.number("attn_logit_softcapping", double{spec.attention_softcap}));
  spec.logit_softcap = static_cast<float>(keys.number("final_logit_softcapping", double{spec.logit_softcap}));
  read_windows(keys, *architecture, spec);
  read_experts(keys, spec);
  if (architecture->gemma) read_gemma(keys, spec);
  reject_extensions(keys, spec);
  // a bound before anything is sized by it: check_spec looks at the rest
  spec.rope_dims = std::min(spec.rope_dims, 1U << 17);
  read_rope_scaling(keys, spec);
  complete_from_tensors(spec, tensors);
  return spec;
}

}  // namespace frugal::model

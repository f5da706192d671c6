// From GGUF metadata to a DecoderSpec.
#include <frugal/core/error.hpp>

#include <algorithm>

#include "model/architectures.hpp"
#include "model/loaders.hpp"

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

/// Extensions of these architectures that change the forward pass, where a file uses one.
void reject_extensions(const Keys& keys, const DecoderSpec& spec) {
  if (keys.optional("expert_count", 0) != 0) keys.unsupported("expert_count", "mixtures of experts are not supported");
  if (keys.optional("attention.value_length", spec.head_dim) != spec.head_dim)
    keys.unsupported("attention.value_length", "values of another width than keys are not supported");
  if (!keys.file().boolean(keys.key("attention.causal")).value_or(true))
    keys.unsupported("attention.causal", "attention that is not causal is not supported");
}

/// Linear scaling divides every frequency alike; Llama 3's bands come as a tensor and are read elsewhere.
void read_rope_scaling(const Keys& keys, DecoderSpec& spec) {
  const std::string type(keys.file().string(keys.key("rope.scaling.type")).value_or(""));
  if (!type.empty() && type != "none" && type != "linear")
    keys.unsupported("rope.scaling.type", "'" + type + "' is not supported (none, linear and rope_freqs.weight are)");
  const double legacy = keys.number("rope.scale_linear", 1.0);
  const double factor = type == "none" ? 1.0 : keys.number("rope.scaling.factor", legacy);
  if (factor != 1.0 && factor != 0.0) spec.rope_divisors.assign(spec.rope_dims / 2, static_cast<float>(factor));
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
  spec.architecture = architecture->name;
  spec.rope_layout = architecture->gguf_rope;
  spec.qkv_bias = architecture->qkv_bias, spec.qk_norm = architecture->qk_norm;
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
  spec.sliding_window = keys.optional("attention.sliding_window", 0);
  reject_extensions(keys, spec);
  // a bound before anything is sized by it: check_spec looks at the rest
  spec.rope_dims = std::min(spec.rope_dims, 1U << 17);
  read_rope_scaling(keys, spec);
  complete_from_tensors(spec, tensors);
  return spec;
}

}  // namespace frugal::model

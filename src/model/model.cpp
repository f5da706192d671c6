// Model: checks its parts once, then only answers questions about them.
#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "model/hash.hpp"
#include "model/validate.hpp"

namespace frugal {
namespace {

constexpr std::array<std::string_view, 18> part_names{
    "attn_q",        "attn_k",       "attn_v",       "attn_output",    "attn_norm",      "attn_q_norm",
    "attn_k_norm",   "ffn_gate",     "ffn_up",       "ffn_down",       "ffn_norm",       "post_attention_norm",
    "post_ffw_norm", "ffn_gate_inp", "ffn_up_shexp", "ffn_gate_shexp", "ffn_down_shexp", "ffn_gate_inp_shexp"};
using LayerTensors = std::array<std::array<const Tensor*, 2>, part_names.size()>;  // [part][bias]

/// Nothing for a decoder without them, so that its fingerprint stays what it was before they came.
void hash_extensions(model::Hash& hash, const DecoderSpec& s) {
  const DecoderSpec none;
  const auto number = [&](std::string_view name, double value, double usual) {
    if (value != usual) hash.add(name).add(value);
  };
  number("rope_scale", double{s.rope_scale}, double{none.rope_scale});
  number("local_rope_theta", s.local_rope_theta, none.local_rope_theta);
  number("activation", static_cast<double>(s.activation), 0);
  number("post_norms", s.post_norms ? 1 : 0, 0);
  number("embedding_scale", double{s.embedding_scale}, double{none.embedding_scale});
  number("attention_scale", double{s.attention_scale}, double{none.attention_scale});
  number("attention_softcap", double{s.attention_softcap}, double{none.attention_softcap});
  number("logit_softcap", double{s.logit_softcap}, double{none.logit_softcap});
  for (std::size_t l = 0; l < s.full_attention.size(); ++l)
    number("full_attention", s.full_attention[l] != 0 ? static_cast<double>(l + 1) : 0, 0);
  const ExpertsSpec& e = s.experts;
  if (e.count == 0) return;
  for (const std::uint32_t n : {e.count, e.used, e.d_ff, e.shared_d_ff}) hash.add(std::uint64_t{n});
  hash.add(std::uint64_t{e.renormalise});
}

void hash_spec(model::Hash& hash, const DecoderSpec& s) {
  hash.add(s.architecture);
  for (const std::uint32_t n :
       {s.layers, s.d_model, s.d_ff, s.heads, s.kv_heads, s.head_dim, s.vocab, s.rope_dims, s.sliding_window})
    hash.add(std::uint64_t{n});
  for (const bool b : {s.rope_layout == RopeLayout::halves, s.qkv_bias, s.qk_norm, s.tied_head})
    hash.add(std::uint64_t{b});
  hash.add(double{s.rms_eps}).add(s.rope_theta);
  for (const float divisor : s.rope_divisors) hash.add(double{divisor});
  hash_extensions(hash, s);
}

/// Eight evenly spread samples of 64 bytes, first and last bytes among them; small tensors whole. A thousand tensors
/// cost 4 MB of reading.
void hash_sample(model::Hash& hash, std::span<const std::byte> data) {
  constexpr std::size_t samples = 8, length = 64;
  if (data.size() <= samples * length * 8) {
    hash.add(data);
    return;
  }
  const std::size_t stride = (data.size() - length) / (samples - 1);
  for (std::size_t i = 0; i + 1 < samples; ++i) hash.add(data.subspan(i * stride, length));
  hash.add(data.last(length));
}

std::uint64_t hash_tensor(const Tensor& t) {
  model::Hash hash;
  hash.add(t.name).add(static_cast<std::uint64_t>(t.type)).add(t.rows).add(t.cols);
  hash_sample(hash, t.data);
  return hash.value();
}

/// The order of the tensors does not matter: a model is the same whole, in shards or with its files rewritten.
std::uint64_t derive_fingerprint(const ModelParts& parts) {
  model::Hash hash;
  hash_spec(hash, parts.spec);
  std::uint64_t tensors = 0;
  for (const Tensor& t : parts.tensors) tensors += hash_tensor(t);
  hash.add(tensors);
  if (parts.tokenizer) hash.add(parts.tokenizer->fingerprint());
  if (parts.chat_template) hash.add(*parts.chat_template);
  for (const auto& [name, source] : parts.named_templates) hash.add(name).add(source);
  return hash.value();
}

}  // namespace

struct Model::Impl {
  ModelParts parts;
  std::unordered_map<std::string_view, const Tensor*> by_name{};
  std::vector<LayerTensors> layers{};
  const Tensor* embedding = nullptr;
  const Tensor* output_norm = nullptr;
  const Tensor* head = nullptr;
  /// A template, or why it could not be compiled.
  struct Template {
    std::optional<ChatTemplate> compiled{};
    std::optional<Error> error{};

    Template(const std::string& source, const std::string& called) {
      try {
        compiled.emplace(source, called);
      } catch (const Error& e) {
        error = e;
      }
    }
    const ChatTemplate* get() const {
      if (error) throw *error;
      return &*compiled;
    }
  };
  std::optional<Template> chat_template{};
  std::vector<std::pair<std::string, Template>> named_templates{};
  std::uint64_t weight_bytes = 0;

  explicit Impl(ModelParts p) : parts(std::move(p)) {
    model::check_spec(parts.spec);
    index_tensors();
    check_wanted();
    index_layers();
    if (parts.tokenizer && parts.tokenizer->size() > parts.spec.vocab)
      throw Error(Errc::bad_model, parts.name + ": the tokenizer has " + std::to_string(parts.tokenizer->size()) +
                                       " tokens, the embedding only " + std::to_string(parts.spec.vocab) + " rows");
    choose_template();
    compile_templates();
    if (parts.fingerprint == 0) parts.fingerprint = derive_fingerprint(parts);
  }

  const Tensor* find(std::string_view name) const {
    const auto at = by_name.find(name);
    return at == by_name.end() ? nullptr : at->second;
  }

  void index_tensors() {
    by_name.reserve(parts.tensors.size());
    for (const Tensor& t : parts.tensors) {
      model::check_tensor(t);
      if (!by_name.emplace(t.name, &t).second)
        throw Error(Errc::bad_model, parts.name + ": two tensors are named " + t.name);
      weight_bytes += t.data.size();
    }
  }

  void check_wanted() const {
    for (const model::Wanted& want : model::wanted_tensors(parts.spec)) {
      const Tensor* have = find(want.name);
      if (have == nullptr) throw Error(Errc::bad_model, parts.name + ": tensor " + want.name + " is missing");
      if (have->rows != want.rows || have->cols != want.cols)
        throw Error(Errc::bad_model, parts.name + ": tensor " + want.name + " is [" + std::to_string(have->rows) +
                                         ", " + std::to_string(have->cols) + "], expected [" +
                                         std::to_string(want.rows) + ", " + std::to_string(want.cols) + "]");
    }
  }

  void index_layers() {
    layers.resize(parts.spec.layers);
    for (std::uint32_t l = 0; l < parts.spec.layers; ++l)
      for (std::size_t p = 0; p < part_names.size(); ++p) {
        const std::string stem = "blk." + std::to_string(l) + "." + std::string(part_names[p]);
        layers[l][p] = {find(stem + ".weight"), find(stem + ".bias")};
      }
    embedding = find("token_embd.weight");
    output_norm = find("output_norm.weight");
    head = parts.spec.tied_head ? embedding : find("output.weight");
  }

  // ChatML where the file has no template but the vocabulary has its marks.
  void choose_template() {
    const Tokenizer* t = parts.tokenizer.get();
    if (!parts.chat_template && t != nullptr && t->find("<|im_start|>") && t->find("<|im_end|>"))
      parts.chat_template = ChatTemplate::chatml();
  }

  void compile_templates() {
    if (parts.chat_template) chat_template.emplace(*parts.chat_template, parts.name + ": chat template");
    for (const auto& [called, source] : parts.named_templates)
      named_templates.emplace_back(called, Template(source, parts.name + ": chat template '" + called + "'"));
  }
};

Model::Model(ModelParts parts) : impl_(std::make_unique<const Impl>(std::move(parts))) {}
Model::~Model() = default;

const std::string& Model::name() const noexcept { return impl_->parts.name; }
const DecoderSpec& Model::spec() const noexcept { return impl_->parts.spec; }
const std::vector<Tensor>& Model::tensors() const noexcept { return impl_->parts.tensors; }
const Tensor* Model::find(std::string_view name) const noexcept { return impl_->find(name); }

const Tensor* Model::layer(std::uint32_t layer, std::string_view part, bool bias) const noexcept {
  const auto at = std::find(part_names.begin(), part_names.end(), part);
  if (layer >= impl_->layers.size() || at == part_names.end()) return nullptr;
  return impl_->layers[layer][static_cast<std::size_t>(at - part_names.begin())][bias ? 1 : 0];
}

const Tensor* Model::expert(std::uint32_t layer, std::string_view part, std::uint32_t expert) const {
  return find("blk." + std::to_string(layer) + "." + std::string(part) + "." + std::to_string(expert) + ".weight");
}

const Tensor& Model::embedding() const noexcept { return *impl_->embedding; }
const Tensor& Model::output_norm() const noexcept { return *impl_->output_norm; }
const Tensor& Model::head() const noexcept { return *impl_->head; }
const Tokenizer* Model::tokenizer() const noexcept { return impl_->parts.tokenizer.get(); }
const Error* Model::tokenizer_error() const noexcept {
  return impl_->parts.tokenizer_error ? &*impl_->parts.tokenizer_error : nullptr;
}
std::uint32_t Model::tokens() const noexcept {
  return tokenizer() ? static_cast<std::uint32_t>(tokenizer()->used()) : spec().vocab;
}

const ChatTemplate* Model::chat_template() const {
  return impl_->chat_template ? impl_->chat_template->get() : nullptr;
}

const ChatTemplate* Model::chat_template(std::string_view name) const {
  for (const auto& [called, compiled] : impl_->named_templates)
    if (called == name) return compiled.get();
  return name == "default" ? chat_template() : nullptr;
}

std::uint64_t Model::fingerprint() const noexcept { return impl_->parts.fingerprint; }
std::uint64_t Model::weight_bytes() const noexcept { return impl_->weight_bytes; }

std::shared_ptr<const Model> first_layers(std::shared_ptr<const Model> model, std::uint32_t layers) {
  const std::uint32_t all = model->spec().layers;
  if (layers == 0 || layers > all)
    throw Error(Errc::invalid_argument, "first_layers: " + std::to_string(layers) + " of " + model->name() +
                                            ", which has " + std::to_string(all));
  ModelParts parts;
  parts.name = model->name() + "/" + std::to_string(layers) + "-layers";
  parts.spec = model->spec();
  parts.spec.layers = layers;
  if (!parts.spec.full_attention.empty()) parts.spec.full_attention.resize(layers);
  for (const Tensor& t : model->tensors()) {
    const bool of_layer = t.name.starts_with("blk.");
    if (!of_layer || std::stoul(t.name.substr(4)) < layers) parts.tensors.push_back(t);
  }
  if (model->tokenizer() != nullptr) parts.tokenizer = {model, model->tokenizer()};
  if (model->tokenizer_error() != nullptr) parts.tokenizer_error = *model->tokenizer_error();
  parts.storage = model;
  return std::make_shared<const Model>(std::move(parts));
}

}  // namespace frugal

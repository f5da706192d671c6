// Model: a decoder's description, weights, tokenizer and chat template, read from files and shared by every backend.
//
// load_model maps a GGUF file (first shard names the others) or a Hugging Face folder (config.json, *.safetensors,
// tokenizer.json or tokenizer.model). Immutable after construction; share it between threads and backends. Weights stay
// in the mapping: loading costs the tokenizer, not the weights. A mapped file must not be shortened or overwritten while
// the model lives, or the system kills the process (SIGBUS); replace it by renaming a new file over it, or read the
// weights (LoadOptions::weights).
#pragma once

#include <frugal/core/error.hpp>
#include <frugal/model/decoder_spec.hpp>
#include <frugal/model/tensor.hpp>
#include <frugal/text/chat_template.hpp>
#include <frugal/text/tokenizer.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace frugal {

/// The parts of a model. Tests build one by hand; loaders fill it from files.
struct ModelParts {
  std::string name;
  DecoderSpec spec;
  std::vector<Tensor> tensors;                 ///< named as GGUF does: token_embd.weight, blk.0.attn_q.weight, ...
  std::shared_ptr<const Tokenizer> tokenizer;  ///< may be null: such a model takes TokenPrompt only
  std::optional<Error> tokenizer_error{};      ///< why there is none, where the file has one that we lack
  std::optional<std::string> chat_template;    ///< Jinja source
  std::shared_ptr<const void> storage;         ///< keeps the bytes of the tensors alive
  std::uint64_t fingerprint = 0;               ///< 0 = derived from spec and tensor bytes (sampled)
  /// Further Jinja sources by name, e.g. "tool_use".
  std::vector<std::pair<std::string, std::string>> named_templates{};
};

class FRUGAL_API Model {
 public:
  /// Checks that every tensor the spec asks for is there with its shape; throws Error(bad_model) naming the tensor.
  explicit Model(ModelParts parts);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const std::string& name() const noexcept;
  const DecoderSpec& spec() const noexcept;
  const std::vector<Tensor>& tensors() const noexcept;
  /// The tensor of that name, or null.
  const Tensor* find(std::string_view name) const noexcept;
  /// Layer tensor "blk.<layer>.<part>.weight" (or ".bias"), null where absent. part: attn_q, attn_k, attn_v,
  /// attn_output, attn_norm, attn_q_norm, attn_k_norm, post_attention_norm, ffn_gate, ffn_up, ffn_down, ffn_norm,
  /// post_ffw_norm, and of experts ffn_gate_inp (the router), ffn_gate_inp_shexp, ffn_gate_shexp, ffn_up_shexp,
  /// ffn_down_shexp (the shared one).
  const Tensor* layer(std::uint32_t layer, std::string_view part, bool bias = false) const noexcept;
  /// Tensor "blk.<layer>.<part>.<expert>.weight" of one expert, null where absent. part: ffn_gate, ffn_up, ffn_down.
  const Tensor* expert(std::uint32_t layer, std::string_view part, std::uint32_t expert) const;
  const Tensor& embedding() const noexcept;    ///< [vocab, d_model]
  const Tensor& output_norm() const noexcept;  ///< [d_model]
  const Tensor& head() const noexcept;         ///< [vocab, d_model]; the embedding where tied

  const Tokenizer* tokenizer() const noexcept;
  /// Why tokenizer() is null although the file has one: it is of a kind we lack. Null where it has none.
  const Error* tokenizer_error() const noexcept;
  /// Ids below it can be drawn: those its tokenizer uses, or spec().vocab without a tokenizer. A head is often wider.
  std::uint32_t tokens() const noexcept;
  /// Compiled at load: the file's own, else ChatML where the vocabulary has <|im_start|> and <|im_end|>, else null.
  /// Throws Error where the file has one that cannot be compiled.
  const ChatTemplate* chat_template() const;
  /// A further template of that name ("tool_use", "rag"), null where there is none; "default" is the one above.
  const ChatTemplate* chat_template(std::string_view name) const;
  /// Changes whenever any output could: part of every cache key.
  std::uint64_t fingerprint() const noexcept;
  std::uint64_t weight_bytes() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

/// The first `layers` layers of a model under its own norm and head, over the same weights: a draft model that needs no
/// file (self-speculation by skipped layers; Zhang et al. 2023). Throws Error(invalid_argument) on 0 layers or more
/// than there are.
FRUGAL_API std::shared_ptr<const Model> first_layers(std::shared_ptr<const Model> model, std::uint32_t layers);

struct LoadOptions {
  std::function<void(std::string_view stage, double share)> progress{};  ///< share in [0, 1] of the named stage
  /// map: pages come in when touched and can be dropped again. read: the files are copied into memory first, so that
  /// nothing that happens to them later can reach the process; costs their size in memory.
  enum class Weights : std::uint8_t { map, read };
  Weights weights = Weights::map;
  /// Positions that will be used; 0 = all that the model was trained for. Lowers spec().context. A model with LongRoPE
  /// (Phi-3 128k) rotates by its short factors where this is at most its original context, else by its long ones.
  std::uint32_t context = 0;
};

/// Throws Error: bad_file (file, offset, reason), bad_model (tensor), unsupported (architecture, quantisation), as the
/// file deserves. A tokenizer or a chat template of a kind we lack is an error only when it is used.
/// `path` is a std::filesystem::path as well; its header, half a second for a compiler, is not needed here.
FRUGAL_API std::shared_ptr<const Model> load_model(const std::string& path, const LoadOptions& options = {});

}  // namespace frugal

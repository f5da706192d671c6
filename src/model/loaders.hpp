// The two ways a model comes in. Each fills ModelParts from files; load_model picks one. Not thread-safe per call;
// calls are independent.
#pragma once

#include <frugal/model/model.hpp>

#include <filesystem>

#include "model/gguf.hpp"

namespace frugal::model {

ModelParts load_gguf(const std::filesystem::path& file, const LoadOptions& options);
ModelParts load_hf_folder(const std::filesystem::path& folder, const LoadOptions& options);

/// The decoder a GGUF's metadata describes; `tensors` are those of all shards, minus rope_freqs.weight. Throws
/// Error(unsupported) for an architecture, a rope scaling or an attention we lack.
DecoderSpec spec_from_gguf(const GgufFile& file, const std::vector<Tensor>& tensors);

/// The tokenizer inside a GGUF, or none where it has none. Throws Error(unsupported) for a kind we lack.
std::optional<BpeVocabulary> vocabulary_from_gguf(const GgufFile& file);

/// Fills tokenizer from `make`, or tokenizer_error where it is of a kind we lack: that blocks neither scores nor token
/// prompts. A damaged one throws.
void set_tokenizer(ModelParts& parts, const std::function<std::shared_ptr<const Tokenizer>()>& make);

/// Parts from one GGUF held in memory (which must outlive them): what load_gguf does for a single file, without
/// template and storage.
ModelParts parts_from_gguf(const GgufFile& file);

/// The decoder a config.json describes, before its tensors are known. `file` names it in errors; `context` as in
/// LoadOptions.
DecoderSpec spec_from_hf_config(std::string_view json, const std::string& file, std::uint32_t context = 0);

}  // namespace frugal::model

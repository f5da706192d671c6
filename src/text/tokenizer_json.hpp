// The parts of a Hugging Face tokenizer.json that decide how text is cut and normalised, mapped onto what we have.
#pragma once

#include <frugal/text/tokenizer.hpp>

#include "core/json_tree.hpp"

#include <nlohmann/json_fwd.hpp>

#include <filesystem>
#include <optional>
#include <string>

namespace frugal::text {

/// Reads "normalizer", "pre_tokenizer" and "decoder" of a tokenizer.json into the vocabulary: its alphabet, its words, its
/// spaces. Throws Error(unsupported) that names the first construct we lack.
void read_text_rules(const nlohmann::json& json, BpeVocabulary& vocabulary);

/// The literal texts of the tokens that "post_processor" puts before and after a text.
struct AddedTokens {
  std::optional<std::string> first{}, last{};
};
/// `json` is the value of "post_processor". Throws Error(unsupported) where it adds more than that.
AddedTokens added_tokens_from_json(const nlohmann::json& json);

/// What the files beside a tokenizer say about bos, eos and the tokens that end an answer: tokenizer_config.json,
/// special_tokens_map.json, config.json, generation_config.json. Those that are missing say nothing.
void read_side_files(const std::filesystem::path& folder, BpeVocabulary& vocabulary);

/// A JSON object from a file. Throws Error(bad_file) with file and byte.
nlohmann::json parse_json_file(const std::filesystem::path& file, RepeatedKeys repeated = RepeatedKeys::last_wins);

}  // namespace frugal::text

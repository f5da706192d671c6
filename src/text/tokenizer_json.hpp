// The parts of a Hugging Face tokenizer.json that decide how text is cut and normalised, mapped onto what we have.
#pragma once

#include <frugal/text/tokenizer.hpp>

#include <nlohmann/json_fwd.hpp>

#include <optional>
#include <string>

namespace frugal::text {

/// Throws Error(unsupported) that names the first construct we lack; `json` is the value of "pre_tokenizer".
PreTokenizer pre_tokenizer_from_json(const nlohmann::json& json);

/// True for NFC, false for none; `json` is the value of "normalizer". Throws Error(unsupported) for any other.
bool nfc_from_json(const nlohmann::json& json);

/// The literal text of the token that "post_processor" puts first, if it puts one. Throws Error(unsupported) where it
/// adds others.
std::optional<std::string> first_token_from_json(const nlohmann::json& json);

/// Throws Error(unsupported) unless "decoder" is absent or gives the bytes as they are.
void check_decoder_json(const nlohmann::json& json);

}  // namespace frugal::text

#include "text/tokenizer_json.hpp"

#include <frugal/core/error.hpp>

#include <nlohmann/json.hpp>

#include "core/json_tree.hpp"

namespace frugal::text {
namespace {

using Json = nlohmann::json;

// The regexes of the Split pre-tokenizers we know, as the files write them.
constexpr const char* kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt2Regex = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

[[noreturn]] void lack(const std::string& what) { throw Error(Errc::unsupported, what + " is not supported"); }

std::string type_of(const Json& json) {
  if (!json.is_object()) throw Error(Errc::bad_file, "expected an object, found " + std::string(json.type_name()));
  const auto type = json.find("type");
  if (type == json.end() || !type->is_string()) throw Error(Errc::bad_file, "an object without its \"type\"");
  return type->get<std::string>();
}

const Json& list_in(const Json& json, const char* key) {
  const auto list = json.find(key);
  if (list == json.end() || !list->is_array())
    throw Error(Errc::bad_file, std::string("a Sequence without \"") + key + "\"");
  return *list;
}

bool flag(const Json& json, const char* key, bool otherwise) {
  const auto value = json.find(key);
  if (value == json.end()) return otherwise;
  if (!value->is_boolean()) throw Error(Errc::bad_file, std::string("\"") + key + "\" must be true or false");
  return value->get<bool>();
}

/// One step of pre-tokenisation, as far as we tell them apart.
enum class Step { byte_level, gpt2, digits, qwen2, llama3 };

Step split_step(const Json& json) {
  const auto pattern = json.find("pattern");
  if (pattern == json.end() || !pattern->is_object() || !pattern->contains("Regex") || !(*pattern)["Regex"].is_string())
    lack("pre-tokenizer Split without a regex");
  if (json.value("behavior", Json()) != Json("Isolated") || flag(json, "invert", false))
    lack("pre-tokenizer Split other than Isolated");
  const std::string regex = (*pattern)["Regex"].get<std::string>();
  if (regex == kQwen2Regex) return Step::qwen2;
  if (regex == kLlama3Regex) return Step::llama3;
  if (regex == kGpt2Regex) return Step::gpt2;
  lack("pre-tokenizer Split with the regex " + regex);
}

void add_steps(const Json& json, std::vector<Step>& steps) {
  const std::string type = type_of(json);
  if (type == "Sequence") {
    for (const Json& part : list_in(json, "pretokenizers")) add_steps(part, steps);
  } else if (type == "ByteLevel") {
    if (flag(json, "add_prefix_space", true)) lack("pre-tokenizer ByteLevel with add_prefix_space");
    steps.push_back(flag(json, "use_regex", true) ? Step::gpt2 : Step::byte_level);
  } else if (type == "Digits") {
    if (!flag(json, "individual_digits", false)) lack("pre-tokenizer Digits without individual_digits");
    steps.push_back(Step::digits);
  } else if (type == "Split") {
    steps.push_back(split_step(json));
  } else {
    lack("pre-tokenizer " + type);
  }
}

/// Appends the names of the tokens a TemplateProcessing puts before the text.
void add_template(const Json& json, std::vector<std::string>& first) {
  bool after_text = false;
  for (const Json& part : list_in(json, "single")) {
    if (part.contains("Sequence")) {
      after_text = true;
    } else if (part.contains("SpecialToken") && part["SpecialToken"].is_object() &&
               part["SpecialToken"].value("id", Json()).is_string()) {
      if (after_text) lack("post-processor that adds a token after the text");
      first.push_back(part["SpecialToken"]["id"].get<std::string>());
    } else {
      throw Error(Errc::bad_file, "a template of TemplateProcessing holds neither a token nor the text");
    }
  }
}

void add_first_tokens(const Json& json, std::vector<std::string>& first) {
  const std::string type = type_of(json);
  if (type == "Sequence") {
    for (const Json& part : list_in(json, "processors")) add_first_tokens(part, first);
  } else if (type == "TemplateProcessing") {
    add_template(json, first);
  } else if (type != "ByteLevel") {
    lack("post-processor " + type);
  }
}

}  // namespace

PreTokenizer pre_tokenizer_from_json(const Json& json) {
  if (json.is_null()) lack("a tokenizer without pre-tokenizer");
  std::vector<Step> steps;
  add_steps(json, steps);
  using Steps = std::vector<Step>;
  if (steps == Steps{Step::gpt2} || steps == Steps{Step::gpt2, Step::byte_level}) return PreTokenizer::gpt2;
  if (steps == Steps{Step::digits, Step::gpt2}) return PreTokenizer::smollm;
  if (steps == Steps{Step::qwen2, Step::byte_level}) return PreTokenizer::qwen2;
  if (steps == Steps{Step::llama3, Step::byte_level}) return PreTokenizer::llama3;
  lack("this sequence of pre-tokenizers: " + json_excerpt(json));
}

bool nfc_from_json(const Json& json) {
  if (json.is_null()) return false;
  const std::string type = type_of(json);
  if (type == "NFC") return true;
  if (type != "Sequence") lack("normalizer " + type);
  bool nfc = false;
  for (const Json& part : list_in(json, "normalizers")) nfc = nfc_from_json(part) || nfc;
  return nfc;
}

std::optional<std::string> first_token_from_json(const Json& json) {
  if (json.is_null()) return std::nullopt;
  std::vector<std::string> first;
  add_first_tokens(json, first);
  if (first.size() > 1) lack("post-processor that adds several tokens");
  return first.empty() ? std::nullopt : std::optional(first.front());
}

void check_decoder_json(const Json& json) {
  if (json.is_null()) return;
  if (const std::string type = type_of(json); type != "ByteLevel") lack("decoder " + type);
}

}  // namespace frugal::text

#include "text/tokenizer_json.hpp"

#include "text/tokenizer_vocabulary.hpp"

#include <frugal/core/error.hpp>

#include <nlohmann/json.hpp>

#include "core/json_tree.hpp"

namespace frugal::text {
namespace {

using Json = nlohmann::json;
using Alphabet = BpeVocabulary::Alphabet;
using Spaces = BpeVocabulary::Spaces;

// The regexes of the Split pre-tokenizers we know, as the files write them.
constexpr const char* kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekkenRegex =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt2Regex = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

[[noreturn]] void lack(const std::string& what) { throw Error(Errc::unsupported, what + " is not supported"); }

std::string type_of(const Json& json) {
  if (!json.is_object()) throw Error(Errc::bad_file, "expected an object, found " + std::string(json.type_name()));
  const auto type = json.find("type");
  if (type == json.end() || !type->is_string()) throw Error(Errc::bad_file, "an object has no \"type\"");
  return type->get<std::string>();
}

const Json& list_in(const Json& json, const char* key) {
  const auto list = json.find(key);
  if (list == json.end() || !list->is_array())
    throw Error(Errc::bad_file, std::string("a Sequence has no list \"") + key + "\"");
  return *list;
}

bool flag(const Json& json, const char* key, bool otherwise) {
  const auto value = json.find(key);
  if (value == json.end()) return otherwise;
  if (!value->is_boolean()) throw Error(Errc::bad_file, std::string("\"") + key + "\" must be true or false");
  return value->get<bool>();
}

/// One step of pre-tokenisation, as far as we tell them apart.
enum class Step { byte_level, gpt2, digits, qwen2, llama3, tekken, marks };

/// {"type": "Split" or "Replace", "pattern": {"String": ...}}
bool matches_string(const Json& json, std::string_view string) {
  const auto pattern = json.find("pattern");
  return pattern != json.end() && pattern->is_object() && pattern->value("String", Json()) == Json(string);
}

Step split_step(const Json& json) {
  const Json behavior = json.value("behavior", Json());
  // Gemma's: cuts after spaces, of which its normalizer leaves none.
  if (matches_string(json, " ") && behavior == Json("MergedWithPrevious") && !flag(json, "invert", false))
    return Step::marks;
  const auto pattern = json.find("pattern");
  if (pattern == json.end() || !pattern->is_object() || !pattern->contains("Regex") || !(*pattern)["Regex"].is_string())
    lack("pre-tokenizer Split without a regex");
  if (behavior != Json("Isolated") || flag(json, "invert", false)) lack("pre-tokenizer Split other than Isolated");
  const std::string regex = (*pattern)["Regex"].get<std::string>();
  if (regex == kQwen2Regex) return Step::qwen2;
  if (regex == kLlama3Regex) return Step::llama3;
  if (regex == kTekkenRegex) return Step::tekken;
  if (regex == kGpt2Regex) return Step::gpt2;
  lack("pre-tokenizer Split with the regex " + regex);
}

/// When Metaspace puts a space before the text; older files have a flag instead of the scheme.
Spaces::Prefix prepend_scheme(const Json& json) {
  const Json scheme = json.value("prepend_scheme", Json());
  if (scheme.is_null()) return flag(json, "add_prefix_space", true) ? Spaces::Prefix::always : Spaces::Prefix::never;
  if (scheme == Json("always")) return Spaces::Prefix::always;
  if (scheme == Json("first")) return Spaces::Prefix::first;
  if (scheme == Json("never")) return Spaces::Prefix::never;
  lack("Metaspace with the prepend_scheme " + json_excerpt(scheme));
}

void check_mark(const Json& json, const char* key, const char* what) {
  if (json.value(key, Json()) != Json(space_mark)) lack(std::string(what) + " with another character than U+2581");
}

void read_metaspace(const Json& json, BpeVocabulary& v) {
  check_mark(json, "replacement", "pre-tokenizer Metaspace");
  if (v.alphabet == Alphabet::characters) lack("Metaspace after a normalizer that writes spaces as U+2581");
  v.alphabet = Alphabet::characters;
  v.spaces = {prepend_scheme(json), false, false, flag(json, "split", true), false};
}

void add_steps(const Json& json, BpeVocabulary& v, std::vector<Step>& steps) {
  const std::string type = type_of(json);
  if (type == "Sequence") {
    for (const Json& part : list_in(json, "pretokenizers")) add_steps(part, v, steps);
  } else if (type == "ByteLevel") {
    if (flag(json, "add_prefix_space", true)) lack("pre-tokenizer ByteLevel with add_prefix_space");
    steps.push_back(flag(json, "use_regex", true) ? Step::gpt2 : Step::byte_level);
  } else if (type == "Digits") {
    if (!flag(json, "individual_digits", false)) lack("pre-tokenizer Digits without individual_digits");
    steps.push_back(Step::digits);
  } else if (type == "Split") {
    steps.push_back(split_step(json));
  } else if (type == "Metaspace") {
    read_metaspace(json, v);
    steps.push_back(Step::marks);
  } else {
    lack("pre-tokenizer " + type);
  }
}

void read_pre_tokenizer(const Json& json, BpeVocabulary& v) {
  using Steps = std::vector<Step>;
  Steps steps;
  if (!json.is_null()) add_steps(json, v, steps);
  if (v.alphabet == Alphabet::characters) {
    if (steps.empty() || steps == Steps{Step::marks}) return;
  } else if (steps.empty()) {
    lack("a tokenizer without a pre-tokenizer");
  } else if (steps == Steps{Step::gpt2} || steps == Steps{Step::gpt2, Step::byte_level}) {
    v.pre = PreTokenizer::gpt2;
    return;
  } else if (steps == Steps{Step::digits, Step::gpt2}) {
    v.pre = PreTokenizer::smollm;
    return;
  } else if (steps.size() == 2 && steps.back() == Step::byte_level) {
    for (const auto& [step, pre] : {std::pair{Step::qwen2, PreTokenizer::qwen2},
                                    {Step::llama3, PreTokenizer::llama3},
                                    {Step::tekken, PreTokenizer::tekken}})
      if (steps.front() == step) {
        v.pre = pre;
        return;
      }
  }
  lack("this sequence of pre-tokenizers: " + json_excerpt(json));
}

/// NFC, or SentencePiece's way with spaces: Prepend U+2581 (or not), then Replace " " by it.
void read_normalizer(const Json& json, BpeVocabulary& v) {
  if (json.is_null()) return;
  const std::string type = type_of(json);
  if (type == "Sequence") {
    for (const Json& part : list_in(json, "normalizers")) read_normalizer(part, v);
  } else if (type == "NFC") {
    v.nfc = true;
  } else if (type == "Prepend") {
    check_mark(json, "prepend", "normalizer Prepend");
    if (v.alphabet == Alphabet::characters) lack("normalizer Prepend after Replace");
    v.spaces.prefix = Spaces::Prefix::always;
  } else if (type == "Replace" && matches_string(json, " ")) {
    check_mark(json, "content", "normalizer Replace");
    v.alphabet = Alphabet::characters;
  } else {
    lack("normalizer " + type);
  }
}

/// Whether the decoder drops a space in front of the text.
bool drops_leading(const Json& json, const BpeVocabulary& v) {
  const std::string type = type_of(json);
  if (type == "Sequence") {
    bool drops = false;
    for (const Json& part : list_in(json, "decoders")) drops = drops_leading(part, v) || drops;
    return drops;
  }
  if (type == "Metaspace") return prepend_scheme(json) != Spaces::Prefix::never;
  if (type == "Strip") {
    if (json.value("content", Json()) != Json(" ") || json.value("stop", Json(0)) != Json(0) ||
        json.value("start", Json(0)) > Json(1))
      lack("decoder Strip other than of one leading space");
    return json.value("start", Json(0)) == Json(1);
  }
  const bool reads_marks =
      type == "Replace" && matches_string(json, space_mark) && json.value("content", Json()) == Json(" ");
  if (!reads_marks && type != "ByteFallback" && type != "Fuse") lack("decoder " + type);
  return false;
}

void read_decoder(const Json& json, BpeVocabulary& v) {
  if (v.alphabet == Alphabet::characters) {
    v.spaces.drop_leading = json.is_null() ? v.spaces.prefix != Spaces::Prefix::never : drops_leading(json, v);
  } else if (!json.is_null()) {
    if (const std::string type = type_of(json); type != "ByteLevel") lack("decoder " + type);
  }
}

/// Appends the names of the tokens a TemplateProcessing puts before and after the text.
void add_template(const Json& json, AddedTokens& added) {
  bool after_text = false;
  for (const Json& part : list_in(json, "single")) {
    if (part.contains("Sequence")) {
      after_text = true;
    } else if (part.contains("SpecialToken") && part["SpecialToken"].is_object() &&
               part["SpecialToken"].value("id", Json()).is_string()) {
      std::optional<std::string>& place = after_text ? added.last : added.first;
      if (place) lack("a post-processor that adds several tokens");
      place = part["SpecialToken"]["id"].get<std::string>();
    } else {
      throw Error(Errc::bad_file, "a template of TemplateProcessing holds neither a token nor the text");
    }
  }
}

void add_tokens(const Json& json, AddedTokens& added) {
  const std::string type = type_of(json);
  if (type == "Sequence") {
    for (const Json& part : list_in(json, "processors")) add_tokens(part, added);
  } else if (type == "TemplateProcessing") {
    add_template(json, added);
  } else if (type != "ByteLevel") {
    lack("post-processor " + type);
  }
}

const Json& part_of(const Json& json, const char* key) {
  static const Json null;
  const auto found = json.find(key);
  return found == json.end() ? null : *found;
}

}  // namespace

void read_text_rules(const Json& json, BpeVocabulary& vocabulary) {
  vocabulary.spaces.prefix = Spaces::Prefix::never;
  read_normalizer(part_of(json, "normalizer"), vocabulary);
  read_pre_tokenizer(part_of(json, "pre_tokenizer"), vocabulary);
  read_decoder(part_of(json, "decoder"), vocabulary);
  if (vocabulary.alphabet == Alphabet::characters && vocabulary.nfc)
    lack("normalizer NFC together with U+2581 for spaces");
  if (vocabulary.alphabet == Alphabet::bytes && vocabulary.spaces.prefix != Spaces::Prefix::never)
    lack("normalizer Prepend without Replace");
}

AddedTokens added_tokens_from_json(const Json& json) {
  AddedTokens added;
  if (!json.is_null()) add_tokens(json, added);
  return added;
}

}  // namespace frugal::text

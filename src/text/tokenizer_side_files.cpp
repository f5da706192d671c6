// The files beside a tokenizer: which token begins and ends a text, whether encoding adds them, and what ends an answer.
#include "text/tokenizer_json.hpp"
#include "text/tokenizer_vocabulary.hpp"

#include "core/json_tree.hpp"
#include "core/read_file.hpp"

#include <frugal/core/error.hpp>

#include <nlohmann/json.hpp>

namespace frugal::text {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

const Json& field(const Json& json, const char* key) {
  static const Json null;
  const auto found = json.find(key);
  return found == json.end() ? null : *found;
}

/// The object in a file of the folder; empty where there is no such file.
Json side_file(const fs::path& file) {
  std::error_code none;
  return fs::exists(file, none) ? parse_json_file(file) : Json::object();
}

/// The id of a token that a file names, as text or as an object with "content".
std::optional<Token> named_token(const Json& config, const char* key, const BpeVocabulary& vocabulary) {
  const Json& value = field(config, key);
  const Json& name = value.is_object() ? field(value, "content") : value;
  if (!name.is_string()) return std::nullopt;
  const std::string text = name.get<std::string>();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id)
    if (vocabulary.tokens[id] == text && kind_of(vocabulary, id) != BpeVocabulary::Kind::unused)
      return static_cast<Token>(id);
  return std::nullopt;
}

/// Whether transformers rebuilds this tokenizer's post-processor from add_bos_token and add_eos_token.
bool obeys_add_tokens(const Json& config) {
  const Json& type = field(config, "tokenizer_class");
  if (!type.is_string()) return false;
  const std::string name = type.get<std::string>();
  for (const std::string_view family : {"Llama", "CodeLlama", "Gemma"})
    if (name == std::string(family) + "Tokenizer" || name == std::string(family) + "TokenizerFast") return true;
  return false;
}

void read_added(const fs::path& file, const Json& config, BpeVocabulary& vocabulary) {
  const auto flag = [&](const char* key, bool otherwise) {
    const Json& value = field(config, key);
    if (!value.is_null() && !value.is_boolean())
      throw Error(Errc::bad_file, file.filename().string() + ": \"" + key + "\" must be true or false");
    return value.is_null() ? otherwise : value.get<bool>();
  };
  const bool add_bos = flag("add_bos_token", true), add_eos = flag("add_eos_token", false);
  if (!obeys_add_tokens(config)) return;
  vocabulary.add_bos = add_bos && vocabulary.bos.has_value();
  vocabulary.add_eos = add_eos && vocabulary.eos.has_value();
}

void add_end(std::optional<Token> token, BpeVocabulary& vocabulary) {
  if (token) vocabulary.end_tokens.push_back(*token);
}

/// "eos_token_id", an id or a list of ids: chat models end a turn by another token than the one that ends a document.
void read_end_ids(const fs::path& file, BpeVocabulary& vocabulary) {
  const Json config = side_file(file);
  const Json& ends = field(config, "eos_token_id");
  if (ends.is_null()) return;
  for (const Json& id : ends.is_array() ? ends : Json::array({ends})) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= vocabulary.tokens.size())
      throw Error(Errc::bad_file, file.filename().string() + ": eos_token_id holds " + json_excerpt(id) +
                                      ", but the vocabulary has " + std::to_string(vocabulary.tokens.size()) +
                                      " tokens");
    vocabulary.end_tokens.push_back(id.get<Token>());
  }
}

}  // namespace

Json parse_json_file(const fs::path& file, RepeatedKeys repeated) {
  const std::string name = file.string();
  Json json = parse_json_tree(read_file(name), name, {repeated});
  if (!json.is_object()) throw Error(Errc::bad_file, name + ": byte 0: not a JSON object");
  return json;
}

void read_side_files(const fs::path& folder, BpeVocabulary& vocabulary) {
  const fs::path config_file = folder / "tokenizer_config.json";
  const Json config = side_file(config_file), map = side_file(folder / "special_tokens_map.json");
  const auto named = [&](const char* key) {
    const auto token = named_token(config, key, vocabulary);
    return token ? token : named_token(map, key, vocabulary);
  };
  if (!vocabulary.bos) vocabulary.bos = named("bos_token");
  if (const auto eos = named("eos_token")) vocabulary.eos = eos;
  vocabulary.pad = named("pad_token");
  add_end(named_token(map, "eos_token", vocabulary), vocabulary);
  read_added(config_file, config, vocabulary);
  read_end_ids(folder / "config.json", vocabulary);
  read_end_ids(folder / "generation_config.json", vocabulary);
  add_turn_ends(vocabulary);
}

}  // namespace frugal::text

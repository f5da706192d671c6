// Reads tokenizer.json: the vocabulary and merges of "model", the "added_tokens", and the parts that tokenizer_json.hpp
// maps.
#include "text/tokenizer_json.hpp"

#include "text/tokenizer_vocabulary.hpp"

#include <frugal/core/error.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <unordered_map>

#include "core/json_tree.hpp"
#include "core/read_file.hpp"

namespace frugal {
namespace {

using Json = nlohmann::json;
using Kind = BpeVocabulary::Kind;
using Ids = std::unordered_map<std::string, Token>;

[[noreturn]] void malformed(const std::string& what) { throw Error(Errc::bad_file, what); }

const Json& field(const Json& json, const char* key) {
  static const Json null;
  const auto found = json.find(key);
  return found == json.end() ? null : *found;
}

bool flag(const Json& json, const char* key) {
  const Json& value = field(json, key);
  if (!value.is_null() && !value.is_boolean()) malformed(std::string("\"") + key + "\" is not a boolean");
  return !value.is_null() && value.get<bool>();
}

/// An id, refused where it is negative or so large that it could only be damage.
Token id_from(const Json& value, std::size_t entries, const std::string& token) {
  const std::uint64_t limit = 4 * static_cast<std::uint64_t>(entries) + 65536;
  if (!value.is_number_integer()) malformed("the id of token \"" + token + "\" is not an integer");
  const bool good = value.is_number_unsigned() && value.get<std::uint64_t>() < limit;
  if (!good) malformed("the id " + json_excerpt(value) + " of token \"" + token + "\" is out of range");
  return value.get<Token>();
}

void place(BpeVocabulary& vocabulary, Token id, const std::string& token, Kind kind) {
  const auto at = static_cast<std::size_t>(id);
  if (at >= vocabulary.tokens.size()) {
    vocabulary.tokens.resize(at + 1);
    vocabulary.kinds.resize(at + 1, Kind::unused);  // a gap between ids
  }
  if (!vocabulary.tokens[at].empty() && vocabulary.tokens[at] != token)
    malformed("tokens \"" + vocabulary.tokens[at] + "\" and \"" + token + "\" share the id " + std::to_string(id));
  vocabulary.tokens[at] = token;
  vocabulary.kinds[at] = kind;
}

Ids read_vocab(const Json& model, BpeVocabulary& vocabulary) {
  const Json& vocab = field(model, "vocab");
  if (!vocab.is_object() || vocab.empty()) malformed("model.vocab is not an object with tokens");
  Ids ids;
  ids.reserve(vocab.size());
  for (const auto& [token, value] : vocab.items()) {
    const Token id = id_from(value, vocab.size(), token);
    if (token.empty()) malformed("model.vocab holds an empty token");
    place(vocabulary, id, token, Kind::normal);
    ids.emplace(token, id);
  }
  return ids;
}

std::pair<std::string, std::string> merge_from(const Json& merge, std::size_t i) {
  std::pair<std::string, std::string> out;
  if (merge.is_string()) {
    const std::string text = merge.get<std::string>();
    const std::size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
      out = {text.substr(0, space), text.substr(space + 1)};
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    out = {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (out.first.empty() || out.second.empty())
    malformed("model.merges[" + std::to_string(i) + "] is not a pair of tokens");
  return out;
}

void read_merges(const Json& model, BpeVocabulary& vocabulary) {
  const Json& merges = field(model, "merges");
  if (!merges.is_array()) malformed("model.merges is not a list");
  vocabulary.merges.reserve(merges.size());
  for (const Json& merge : merges) vocabulary.merges.push_back(merge_from(merge, vocabulary.merges.size()));
}

void refuse_lacking(const Json& model) {
  const auto lack = [](const std::string& what) {
    throw Error(Errc::unsupported, "a BPE model with " + what + " is not supported");
  };
  const Json& dropout = field(model, "dropout");
  if (dropout.is_number() && dropout.get<double>() > 0) lack("dropout");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (const Json& affix = field(model, key); !affix.is_null() && affix != "") lack(key);
}

Ids read_model(const Json& model, BpeVocabulary& vocabulary) {
  if (!model.is_object()) malformed("\"model\" is not an object");
  const Json& type = field(model, "type");
  if (type != "BPE" && !(type.is_null() && model.contains("merges")))
    throw Error(Errc::unsupported, "tokenizer model " + (type.is_null() ? "without type" : json_excerpt(type)) +
                                       " is not supported, only \"BPE\"");
  refuse_lacking(model);
  vocabulary.ignore_merges = flag(model, "ignore_merges");
  vocabulary.fuse_unknown = flag(model, "fuse_unk");
  Ids ids = read_vocab(model, vocabulary);
  if (flag(model, "byte_fallback")) text::mark_bytes(vocabulary);
  read_merges(model, vocabulary);
  return ids;
}

void read_added_token(const Json& added, std::size_t i, Ids& ids, BpeVocabulary& vocabulary) {
  const std::string where = "added_tokens[" + std::to_string(i) + "]";
  if (!added.is_object() || !field(added, "content").is_string()) malformed(where + " has no content");
  const std::string content = added["content"].get<std::string>();
  if (content.empty()) return;
  const Token id = id_from(field(added, "id"), vocabulary.tokens.size() + i, content);
  if (const auto known = ids.emplace(content, id).first; known->second != id)
    malformed(where + ": token \"" + content + "\" has two ids, " + std::to_string(known->second) + " and " +
              std::to_string(id));
  place(vocabulary, id, content, flag(added, "special") ? Kind::control : Kind::user_defined);
  const BpeVocabulary::Matching how{id, flag(added, "lstrip"), flag(added, "rstrip"), flag(added, "single_word"),
                                    flag(added, "normalized")};
  if (how.lstrip || how.rstrip || how.single_word || how.normalized) vocabulary.matching.push_back(how);
}

void read_added_tokens(const Json& list, Ids& ids, BpeVocabulary& vocabulary) {
  if (list.is_null()) return;
  if (!list.is_array()) malformed("\"added_tokens\" is not a list");
  std::size_t i = 0;
  for (const Json& added : list) read_added_token(added, i++, ids, vocabulary);
}

Token id_of(const Ids& ids, const std::string& token, const char* what) {
  const auto found = ids.find(token);
  if (found == ids.end()) malformed(std::string(what) + " \"" + token + "\" is not in the vocabulary");
  return found->second;
}

BpeVocabulary vocabulary_from(const Json& json, const std::filesystem::path& folder) {
  BpeVocabulary vocabulary;
  Ids ids = read_model(field(json, "model"), vocabulary);
  read_added_tokens(field(json, "added_tokens"), ids, vocabulary);
  text::read_text_rules(json, vocabulary);
  if (vocabulary.alphabet == BpeVocabulary::Alphabet::bytes && flag(json["model"], "byte_fallback"))
    throw Error(Errc::unsupported, "a byte-level BPE model with byte_fallback is not supported");
  if (const Json& unknown = field(json["model"], "unk_token"); unknown.is_string())
    vocabulary.unknown = id_of(ids, unknown.get<std::string>(), "unk_token");
  const text::AddedTokens added = text::added_tokens_from_json(field(json, "post_processor"));
  if (added.first) {
    vocabulary.bos = id_of(ids, *added.first, "the token that post_processor adds,");
    vocabulary.add_bos = true;
  }
  if (added.last) {
    vocabulary.eos = id_of(ids, *added.last, "the token that post_processor adds,");
    vocabulary.add_eos = true;
  }
  text::read_side_files(folder, vocabulary);
  return vocabulary;
}

}  // namespace

Tokenizer load_tokenizer_json(const std::string& name) {
  const std::filesystem::path file(name);
  const Json json = text::parse_json_file(file, RepeatedKeys::refused);
  try {
    return Tokenizer(vocabulary_from(json, file.parent_path()));
  } catch (const Error& error) {
    throw Error(error.code(), file.string() + ": " + error.message());
  } catch (const Json::exception& error) {
    throw Error(Errc::bad_file, file.string() + ": " + error.what());
  }
}

std::optional<PreTokenizer> pre_tokenizer_from_gguf_name(std::string_view name) {
  // The names whose regex, as llama.cpp has it, is the family's own.
  for (const std::string_view known : {"gpt-2", "phi-2", "mpt", "olmo", "jais"})
    if (name == known) return PreTokenizer::gpt2;
  for (const std::string_view known : {"smollm", "starcoder", "refact", "codeshell", "command-r", "exaone"})
    if (name == known) return PreTokenizer::smollm;
  for (const std::string_view known : {"qwen2", "deepseek-r1-qwen", "megrez"})
    if (name == known) return PreTokenizer::qwen2;
  for (const std::string_view known : {"llama3", "llama-v3", "llama-bpe", "falcon3"})
    if (name == known) return PreTokenizer::llama3;
  if (name == "tekken") return PreTokenizer::tekken;
  return std::nullopt;
}

}  // namespace frugal

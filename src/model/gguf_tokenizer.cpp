// From GGUF metadata to the raw material of a byte-level BPE tokenizer.
#include <frugal/core/error.hpp>

#include <algorithm>
#include <array>

#include "model/loaders.hpp"

namespace frugal::model {
namespace {

using Kind = BpeVocabulary::Kind;

/// Literal control tokens that end a turn in some model family; files often name only one of theirs as eos.
constexpr std::array<std::string_view, 8> turn_ends{"<|im_end|>",    "<|eot_id|>",      "<|eom_id|>", "<|end|>",
                                                    "<|endoftext|>", "<|end_of_text|>", "<|eot|>",    "<end_of_turn>"};

Kind kind_of(const GgufFile& file, std::int64_t type) {
  switch (type) {
    case 1:
      return Kind::normal;
    case 2:
      return Kind::control;  // "unknown" is never text
    case 3:
      return Kind::control;
    case 4:
      return Kind::user_defined;
    case 5:
      return Kind::unused;
    case 6:
      return Kind::byte;
    default:
      file.fail("tokenizer.ggml.token_type", "holds the unknown type " + std::to_string(type));
  }
}

void read_kinds(const GgufFile& file, BpeVocabulary& v) {
  constexpr std::string_view key = "tokenizer.ggml.token_type";
  const auto types = file.integers(key);
  if (!types) return;
  if (types->size() != v.tokens.size())
    file.fail(key,
              "has " + std::to_string(types->size()) + " entries for " + std::to_string(v.tokens.size()) + " tokens");
  v.kinds.reserve(types->size());
  for (const std::int64_t type : *types) v.kinds.push_back(kind_of(file, type));
}

void read_merges(const GgufFile& file, BpeVocabulary& v) {
  constexpr std::string_view key = "tokenizer.ggml.merges";
  const auto merges = file.strings(key);
  if (!merges) file.fail(key, "is missing");
  v.merges.reserve(merges->size());
  for (const std::string_view merge : *merges) {
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size())
      file.fail(key, "entry " + std::to_string(v.merges.size()) + " is no pair of tokens");
    v.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
}

std::optional<Token> read_id(const GgufFile& file, std::string_view key, std::size_t tokens) {
  const auto id = file.integer(key, tokens - 1);
  return id ? std::optional(static_cast<Token>(*id)) : std::nullopt;
}

/// Padding is informative only; files in the wild name ids they do not have. The file's unknown token is left alone:
/// byte-level BPE leaves a byte without a token out, and never writes <|endoftext|> in its place.
std::optional<Token> read_loose_id(const GgufFile& file, std::string_view key, std::size_t tokens) {
  const auto id = file.number(key);
  return id && *id >= 0 && *id < static_cast<double>(tokens) ? std::optional(static_cast<Token>(*id)) : std::nullopt;
}

void read_ids(const GgufFile& file, BpeVocabulary& v) {
  const std::size_t n = v.tokens.size();
  v.bos = read_id(file, "tokenizer.ggml.bos_token_id", n);
  v.eos = read_id(file, "tokenizer.ggml.eos_token_id", n);
  v.eot = read_id(file, "tokenizer.ggml.eot_token_id", n);
  v.pad = read_loose_id(file, "tokenizer.ggml.padding_token_id", n);
  if (const auto eom = read_id(file, "tokenizer.ggml.eom_token_id", n)) v.end_tokens.push_back(*eom);
  for (std::size_t id = 0; id < n && id < v.kinds.size(); ++id)
    if (v.kinds[id] == Kind::control && std::find(turn_ends.begin(), turn_ends.end(), v.tokens[id]) != turn_ends.end())
      v.end_tokens.push_back(static_cast<Token>(id));
}

}  // namespace

std::optional<BpeVocabulary> vocabulary_from_gguf(const GgufFile& file) {
  const auto model = file.string("tokenizer.ggml.model");
  if (!model || *model == "none" || *model == "no_vocab") return std::nullopt;
  if (*model != "gpt2")
    throw Error(Errc::unsupported, file.name() + ": tokenizer model '" + std::string(*model) +
                                       "' is not supported (gpt2, byte-level BPE, is)");
  const std::string pre(file.string("tokenizer.ggml.pre").value_or("default"));
  const auto known = pre_tokenizer_from_gguf_name(pre);
  if (!known) throw Error(Errc::unsupported, file.name() + ": pre-tokenizer '" + pre + "' is not supported");

  BpeVocabulary v;
  v.pre = *known;
  const auto tokens = file.strings("tokenizer.ggml.tokens");
  if (!tokens || tokens->empty() || tokens->size() > 0x7FFFFFFF)
    file.fail("tokenizer.ggml.tokens", "is missing or empty");
  v.tokens.assign(tokens->begin(), tokens->end());
  read_kinds(file, v);
  read_merges(file, v);
  read_ids(file, v);
  const bool llama3 = v.pre == PreTokenizer::llama3;
  v.ignore_merges = llama3;
  v.nfc = v.pre == PreTokenizer::qwen2;
  v.add_bos = file.boolean("tokenizer.ggml.add_bos_token").value_or(llama3) && v.bos.has_value();
  return v;
}

}  // namespace frugal::model

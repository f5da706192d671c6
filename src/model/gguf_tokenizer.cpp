// From GGUF metadata to the raw material of a tokenizer.
#include <frugal/core/error.hpp>

#include <algorithm>
#include <array>

#include "core/ascii.hpp"
#include "model/loaders.hpp"
#include "text/tokenizer_vocabulary.hpp"

namespace frugal::model {
namespace {

using Kind = BpeVocabulary::Kind;

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
      file.fail(key, "entry " + std::to_string(v.merges.size()) + " is not a pair of tokens");
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
  text::add_turn_ends(v);
}

PreTokenizer read_pre_tokenizer(const GgufFile& file) {
  const auto pre = file.string("tokenizer.ggml.pre");
  if (!pre)
    throw Error(Errc::unsupported,
                file.name() + ": the file does not name its pre-tokenizer (key 'tokenizer.ggml.pre' " +
                    "is missing), so how it cuts text into words is unknown; convert the model again");
  const auto known = pre_tokenizer_from_gguf_name(*pre);
  if (!known)
    throw Error(Errc::unsupported, file.name() + ": pre-tokenizer '" + std::string(*pre) + "' is not supported");
  return *known;
}

/// Byte-level BPE: tokenizer model "gpt2".
void read_byte_level(const GgufFile& file, BpeVocabulary& v) {
  read_merges(file, v);
  const bool llama3 = v.pre == PreTokenizer::llama3, tekken = v.pre == PreTokenizer::tekken;
  v.ignore_merges = llama3 || tekken;
  v.nfc = v.pre == PreTokenizer::qwen2;
  v.add_bos = file.boolean("tokenizer.ggml.add_bos_token").value_or(llama3 || tekken) && v.bos.has_value();
}

/// Phi-3 files do not say that its special tokens take the blanks after them along; its own tokenizer does.
void read_phi3_blanks(const GgufFile& file, BpeVocabulary& v) {
  const std::string name = lower_ascii(file.string("general.name").value_or(""));
  const bool phi3 = file.string("general.architecture") == "phi3" || name.find("phi-3") != std::string::npos ||
                    name.find("phi3") != std::string::npos;
  if (!phi3) return;
  constexpr std::array<std::string_view, 3> plain{"<unk>", "<s>", "<|endoftext|>"};
  for (std::size_t id = 0; id < v.kinds.size(); ++id)
    if (v.kinds[id] == Kind::control && std::find(plain.begin(), plain.end(), v.tokens[id]) == plain.end())
      v.matching.push_back({static_cast<Token>(id), false, true, false, false});
}

/// SentencePiece BPE: tokenizer model "llama". Its pre-tokenizer's name, if there is one, means nothing.
void read_sentencepiece(const GgufFile& file, BpeVocabulary& v) {
  constexpr std::string_view scores = "tokenizer.ggml.scores";
  const auto values = file.numbers(scores);
  if (!values) file.fail(scores, "is missing");
  if (values->size() != v.tokens.size())
    file.fail(scores,
              "has " + std::to_string(values->size()) + " entries for " + std::to_string(v.tokens.size()) + " tokens");
  for (const std::string_view key :
       {"tokenizer.ggml.remove_extra_whitespaces", "tokenizer.ggml.treat_whitespace_as_suffix"})
    if (file.has(key) && file.boolean(key).value_or(false))
      throw Error(Errc::unsupported, file.name() + ": key '" + std::string(key) + "' is true, which is not supported");
  v.alphabet = BpeVocabulary::Alphabet::characters;
  v.scores.assign(values->begin(), values->end());
  const bool prefix = file.boolean("tokenizer.ggml.add_space_prefix").value_or(true);
  using Prefix = BpeVocabulary::Spaces::Prefix;
  v.spaces.prefix = prefix ? Prefix::always : Prefix::never;
  v.spaces.drop_leading = prefix;
  v.unknown = read_id(file, "tokenizer.ggml.unknown_token_id", v.tokens.size());
  v.fuse_unknown = true;
  v.add_bos = file.boolean("tokenizer.ggml.add_bos_token").value_or(true) && v.bos.has_value();
  read_phi3_blanks(file, v);
}

}  // namespace

std::optional<BpeVocabulary> vocabulary_from_gguf(const GgufFile& file) {
  const auto model = file.string("tokenizer.ggml.model");
  if (!model || *model == "none" || *model == "no_vocab") return std::nullopt;
  const bool byte_level = *model == "gpt2";
  if (!byte_level && *model != "llama")
    throw Error(Errc::unsupported, file.name() + ": tokenizer model '" + std::string(*model) +
                                       "' is not supported (gpt2, byte-level BPE, and llama, SentencePiece BPE, are)");
  BpeVocabulary v;
  if (byte_level) v.pre = read_pre_tokenizer(file);
  const auto tokens = file.strings("tokenizer.ggml.tokens");
  if (!tokens || tokens->empty() || tokens->size() > 0x7FFFFFFF)
    file.fail("tokenizer.ggml.tokens", "is missing or empty");
  v.tokens.assign(tokens->begin(), tokens->end());
  read_kinds(file, v);
  read_ids(file, v);
  if (byte_level)
    read_byte_level(file, v);
  else
    read_sentencepiece(file, v);
  v.add_eos = file.boolean("tokenizer.ggml.add_eos_token").value_or(false) && v.eos.has_value();
  return v;
}

}  // namespace frugal::model

// Turns a BpeVocabulary into what encoding needs, and refuses one that contradicts itself.
#pragma once

#include "text/bpe.hpp"

#include <frugal/text/tokenizer.hpp>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace frugal::text {

/// Checks sizes and ids; throws Error(bad_model) that names the first bad entry.
void check_vocabulary(const BpeVocabulary& vocabulary);

inline BpeVocabulary::Kind kind_of(const BpeVocabulary& vocabulary, std::size_t id) {
  return vocabulary.kinds.empty() ? BpeVocabulary::Kind::normal : vocabulary.kinds[id];
}
inline bool is_literal(BpeVocabulary::Kind kind) {
  return kind == BpeVocabulary::Kind::control || kind == BpeVocabulary::Kind::user_defined;
}

/// The ids of token texts; where two are equal, ordinary ones go before special ones and lower ids before higher ones.
using TokenIds = std::unordered_map<std::string_view, Token>;
TokenIds token_ids(const BpeVocabulary& vocabulary);

/// Makes the ordinary tokens "<0x00>" to "<0xFF>" bytes.
void mark_bytes(BpeVocabulary& vocabulary);

/// Adds the tokens whose name ends a turn or a text in a supported family ("<|im_end|>", "<end_of_turn>", ...) to
/// end_tokens, whatever their kind: files often name only one of theirs. "</s>" and "<eos>" count as special tokens only.
void add_turn_ends(BpeVocabulary& vocabulary);

/// The bytes each token stands for.
std::vector<std::string> token_bytes(const BpeVocabulary& vocabulary);

/// `bytes` where merges may give the token, else empty.
std::vector<std::string_view> mergeable_words(const BpeVocabulary& vocabulary, const std::vector<std::string>& bytes);

std::vector<Bpe::Merge> resolve_merges(const BpeVocabulary& vocabulary, const TokenIds& ids);
/// SentencePiece's merges: any two neighbours whose text is a token, the one with the highest score first.
std::vector<Bpe::Merge> merges_by_score(const BpeVocabulary& vocabulary, const std::vector<std::string_view>& words);
/// How words start: as bytes, or as characters with bytes as fallback.
Bpe::Options byte_options(const BpeVocabulary& vocabulary, const TokenIds& ids);
Bpe::Options character_options(const BpeVocabulary& vocabulary, const std::vector<std::string>& bytes);

/// U+2581, which SentencePiece writes for a space.
inline constexpr std::string_view space_mark = "\xE2\x96\x81";
/// `text` with spaces in place of the marks.
std::string without_marks(std::string_view text);

/// A hash of all that decides how text is encoded.
std::uint64_t vocabulary_fingerprint(const BpeVocabulary& vocabulary);

}  // namespace frugal::text

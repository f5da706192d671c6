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

/// The bytes each token stands for.
std::vector<std::string> token_bytes(const BpeVocabulary& vocabulary);

/// `bytes` where merges may give the token, else empty.
std::vector<std::string_view> mergeable_words(const BpeVocabulary& vocabulary, const std::vector<std::string>& bytes);

std::vector<Bpe::Merge> resolve_merges(const BpeVocabulary& vocabulary, const TokenIds& ids);
Bpe::Options bpe_options(const BpeVocabulary& vocabulary, const TokenIds& ids);

/// A hash of all that decides how text is encoded.
std::uint64_t vocabulary_fingerprint(const BpeVocabulary& vocabulary);

}  // namespace frugal::text

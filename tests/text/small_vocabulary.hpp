// A vocabulary small enough to check by hand: every byte, a few merges, special tokens at the end.
#pragma once

#include "text/bpe_alphabet.hpp"
#include "text/unicode.hpp"

#include <frugal/text/tokenizer.hpp>

namespace frugal::test {

/// Bytes 0 to 255 (id = byte); from 256 on the tokens of the merges h+e, l+l, he+ll, hell+o, space+hello, space+space.
inline BpeVocabulary small_vocabulary(PreTokenizer pre = PreTokenizer::gpt2) {
  BpeVocabulary v;
  for (const std::int32_t letter : text::byte_alphabet()) text::append_utf8(v.tokens.emplace_back(), letter);
  const std::string space = v.tokens[' '];
  v.merges = {{"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}, {space, "hello"}, {space, space}};
  for (const auto& [left, right] : v.merges) v.tokens.push_back(left + right);
  v.kinds.assign(v.tokens.size(), BpeVocabulary::Kind::normal);
  v.pre = pre;
  return v;
}

inline Token add(BpeVocabulary& v, const std::string& text, BpeVocabulary::Kind kind = BpeVocabulary::Kind::control) {
  v.tokens.push_back(text);
  v.kinds.push_back(kind);
  return static_cast<Token>(v.tokens.size() - 1);
}

using Ids = std::vector<Token>;

}  // namespace frugal::test

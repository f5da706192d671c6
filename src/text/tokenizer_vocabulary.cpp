#include "text/tokenizer_vocabulary.hpp"

#include "text/bpe_alphabet.hpp"
#include "text/unicode.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>

namespace frugal::text {
namespace {

using Kind = BpeVocabulary::Kind;

[[noreturn]] void refuse(const std::string& why) { throw Error(Errc::bad_model, "tokenizer: " + why); }

void check_id(const BpeVocabulary& vocabulary, std::optional<Token> id, const char* what) {
  if (!id || (*id >= 0 && static_cast<std::size_t>(*id) < vocabulary.tokens.size())) return;
  refuse(std::string(what) + " token " + std::to_string(*id) + " is outside the vocabulary of " +
         std::to_string(vocabulary.tokens.size()));
}

/// The byte that "<0x0A>" names, or -1.
int named_byte(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  int byte = -1;
  const auto end = std::from_chars(text.data() + 3, text.data() + 5, byte, 16);
  return end.ptr == text.data() + 5 ? byte : -1;
}

std::string bytes_of(const BpeVocabulary& vocabulary, std::size_t id) {
  const std::string& text = vocabulary.tokens[id];
  const Kind kind = kind_of(vocabulary, id);
  const bool characters = vocabulary.alphabet == BpeVocabulary::Alphabet::characters;
  if (kind == Kind::control || (is_literal(kind) && !characters)) return text;
  if (kind != Kind::byte) return characters ? without_marks(text) : bytes_of_letters(text).value_or(text);
  const int byte = named_byte(text);
  if (byte < 0) refuse("token " + std::to_string(id) + " (\"" + text + "\") is of kind byte but names none");
  return std::string(1, static_cast<char>(byte));
}

Token find_merge_part(const TokenIds& ids, const std::string& text, std::size_t merge) {
  const auto found = ids.find(text);
  if (found == ids.end())
    refuse("merge " + std::to_string(merge) + " needs the token \"" + text + "\", which is missing");
  return found->second;
}

/// Feeds numbers and texts into one hash.
class Fingerprint {
 public:
  void number(std::uint64_t n) { hash_ = mix(hash_ ^ n); }
  void text(std::string_view t) { number(hash_bytes(t)), number(t.size()); }
  std::uint64_t value() const { return hash_; }

 private:
  static std::uint64_t mix(std::uint64_t h) {
    h = (h ^ (h >> 32)) * 0xD6E8FEB86659FD93ULL;
    return h ^ (h >> 29);
  }
  std::uint64_t hash_ = 0x6A09E667F3BCC909ULL;
};

void add_sentencepiece(Fingerprint& print, const BpeVocabulary& v) {
  print.number(static_cast<std::uint64_t>(v.add_eos ? *v.eos : -1));
  if (v.alphabet == BpeVocabulary::Alphabet::bytes) return;
  for (const float score : v.scores) print.number(std::bit_cast<std::uint32_t>(score));
  const BpeVocabulary::Spaces& s = v.spaces;
  print.number(static_cast<std::uint64_t>(s.prefix) << 5 | static_cast<std::uint64_t>(s.even_before_space) << 4 |
               static_cast<std::uint64_t>(s.in_normalizer) << 3 | static_cast<std::uint64_t>(s.cut_each) << 2 |
               static_cast<std::uint64_t>(s.drop_leading) << 1 | static_cast<std::uint64_t>(v.fuse_unknown));
}

}  // namespace

void check_vocabulary(const BpeVocabulary& vocabulary) {
  const std::size_t n = vocabulary.tokens.size();
  if (n == 0) refuse("the vocabulary is empty");
  if (n > static_cast<std::size_t>(std::numeric_limits<Token>::max())) refuse("the vocabulary is too large");
  if (!vocabulary.kinds.empty() && vocabulary.kinds.size() != n)
    refuse(std::to_string(n) + " tokens but " + std::to_string(vocabulary.kinds.size()) + " kinds");
  check_id(vocabulary, vocabulary.bos, "bos");
  check_id(vocabulary, vocabulary.eos, "eos");
  check_id(vocabulary, vocabulary.eot, "eot");
  check_id(vocabulary, vocabulary.pad, "pad");
  check_id(vocabulary, vocabulary.unknown, "unknown");
  for (const Token end : vocabulary.end_tokens) check_id(vocabulary, end, "end");
  for (const auto& matching : vocabulary.matching) check_id(vocabulary, matching.token, "matched");
  if (vocabulary.add_bos && !vocabulary.bos) refuse("it adds a bos token but names none");
  if (vocabulary.add_eos && !vocabulary.eos) refuse("it adds an eos token but names none");
  if (!vocabulary.scores.empty() && vocabulary.scores.size() != n)
    refuse(std::to_string(n) + " tokens but " + std::to_string(vocabulary.scores.size()) + " scores");
  for (std::size_t id = 0; id < vocabulary.scores.size(); ++id)
    if (std::isnan(vocabulary.scores[id])) refuse("the score of token " + std::to_string(id) + " is not a number");
}

void mark_bytes(BpeVocabulary& vocabulary) {
  vocabulary.kinds.resize(vocabulary.tokens.size(), Kind::normal);
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id)
    if (vocabulary.kinds[id] == Kind::normal && named_byte(vocabulary.tokens[id]) >= 0)
      vocabulary.kinds[id] = Kind::byte;
}

void add_turn_ends(BpeVocabulary& vocabulary) {
  constexpr std::array<std::string_view, 8> marks{"<|im_end|>",    "<|eot_id|>",      "<|eom_id|>", "<|end|>",
                                                  "<|endoftext|>", "<|end_of_text|>", "<|eot|>",    "<end_of_turn>"};
  constexpr std::array<std::string_view, 2> tags{"</s>", "<eos>"};  // an ordinary token may be one of HTML's
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& text = vocabulary.tokens[id];
    const bool ends = std::find(marks.begin(), marks.end(), text) != marks.end() ||
                      (is_literal(kind_of(vocabulary, id)) && std::find(tags.begin(), tags.end(), text) != tags.end());
    if (ends) vocabulary.end_tokens.push_back(static_cast<Token>(id));
  }
}

TokenIds token_ids(const BpeVocabulary& vocabulary) {
  TokenIds ids;
  ids.reserve(vocabulary.tokens.size());
  for (const bool literal : {false, true})
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id)
      if (is_literal(kind_of(vocabulary, id)) == literal) ids.emplace(vocabulary.tokens[id], static_cast<Token>(id));
  return ids;
}

std::vector<std::string> token_bytes(const BpeVocabulary& vocabulary) {
  std::vector<std::string> bytes(vocabulary.tokens.size());
  for (std::size_t id = 0; id < bytes.size(); ++id) bytes[id] = bytes_of(vocabulary, id);
  return bytes;
}

std::vector<std::string_view> mergeable_words(const BpeVocabulary& vocabulary, const std::vector<std::string>& bytes) {
  std::vector<std::string_view> words(bytes.size());
  for (std::size_t id = 0; id < words.size(); ++id) {
    const bool in_alphabet = vocabulary.alphabet == BpeVocabulary::Alphabet::characters
                                 ? vocabulary.tokens[id].find(' ') == std::string::npos
                                 : bytes_of_letters(vocabulary.tokens[id]).has_value();
    if (kind_of(vocabulary, id) == Kind::normal && in_alphabet) words[id] = bytes[id];
  }
  return words;
}

std::vector<Bpe::Merge> resolve_merges(const BpeVocabulary& vocabulary, const TokenIds& ids) {
  std::vector<Bpe::Merge> merges;
  merges.reserve(vocabulary.merges.size());
  std::string whole;
  for (const auto& [left, right] : vocabulary.merges) {
    const std::size_t i = merges.size();
    whole.assign(left).append(right);
    merges.push_back({find_merge_part(ids, left, i), find_merge_part(ids, right, i), find_merge_part(ids, whole, i),
                      static_cast<std::uint32_t>(i)});
  }
  return merges;
}

std::vector<Bpe::Merge> merges_by_score(const BpeVocabulary& vocabulary, const std::vector<std::string_view>& words) {
  TokenIds ids;
  std::vector<float> scores;  // of all words, each once, best first
  for (std::size_t id = 0; id < words.size(); ++id)
    if (!words[id].empty() && ids.emplace(words[id], static_cast<Token>(id)).second)
      scores.push_back(vocabulary.scores[id]);
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  std::vector<Bpe::Merge> merges;
  for (const auto& [word, whole] : ids) {
    const auto better = std::lower_bound(scores.begin(), scores.end(),
                                         vocabulary.scores[static_cast<std::size_t>(whole)], std::greater<>());
    const auto rank = static_cast<std::uint32_t>(better - scores.begin());
    for (std::size_t at = decode_utf8(word, 0).bytes; at < word.size(); at += decode_utf8(word, at).bytes) {
      const auto left = ids.find(word.substr(0, at)), right = ids.find(word.substr(at));
      if (left != ids.end() && right != ids.end()) merges.push_back({left->second, right->second, whole, rank});
    }
  }
  return merges;
}

namespace {

Bpe::Options common_options(const BpeVocabulary& vocabulary) {
  Bpe::Options options;
  options.byte_tokens.fill(-1);
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id)
    if (kind_of(vocabulary, id) == Kind::byte)
      options.byte_tokens[static_cast<std::size_t>(named_byte(vocabulary.tokens[id]))] = static_cast<Token>(id);
  options.unknown = vocabulary.unknown.value_or(-1);
  options.ignore_merges = vocabulary.ignore_merges;
  options.fuse_unknown = vocabulary.fuse_unknown;
  return options;
}

}  // namespace

Bpe::Options character_options(const BpeVocabulary& vocabulary, const std::vector<std::string>& bytes) {
  Bpe::Options options = common_options(vocabulary);
  for (const Kind kind : {Kind::normal, Kind::user_defined})
    for (std::size_t id = 0; id < bytes.size(); ++id) {
      if (kind_of(vocabulary, id) != kind || bytes[id].empty()) continue;
      const CodePoint c = decode_utf8(bytes[id], 0);
      if (c.value >= 0 && c.bytes == bytes[id].size()) options.characters.emplace(c.value, static_cast<Token>(id));
    }
  if (options.characters.empty()) refuse("no token is a single character");
  return options;
}

std::string without_marks(std::string_view text) {
  std::string out;
  for (std::size_t at = 0;;) {
    const std::size_t mark = text.find(space_mark, at);
    out += text.substr(at, mark - at);
    if (mark == std::string_view::npos) return out;
    out += ' ';
    at = mark + space_mark.size();
  }
}

Bpe::Options byte_options(const BpeVocabulary& vocabulary, const TokenIds& ids) {
  Bpe::Options options = common_options(vocabulary);
  constexpr auto letters = byte_alphabet();
  for (std::size_t b = 0; b < 256; ++b) {
    std::string letter;
    append_utf8(letter, letters[b]);
    if (const auto found = ids.find(letter); found != ids.end()) options.byte_tokens[b] = found->second;
  }
  return options;
}

std::uint64_t vocabulary_fingerprint(const BpeVocabulary& vocabulary) {
  Fingerprint print;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    print.text(vocabulary.tokens[id]);
    print.number(static_cast<std::uint64_t>(kind_of(vocabulary, id)));
  }
  for (const auto& [left, right] : vocabulary.merges) print.text(left), print.text(right);
  for (const auto& m : vocabulary.matching)
    print.number(static_cast<std::uint64_t>(m.token) << 4 | static_cast<std::uint64_t>(m.lstrip) << 3 |
                 static_cast<std::uint64_t>(m.rstrip) << 2 | static_cast<std::uint64_t>(m.single_word) << 1 |
                 static_cast<std::uint64_t>(m.normalized));
  print.number(static_cast<std::uint64_t>(vocabulary.pre));
  print.number(static_cast<std::uint64_t>(vocabulary.add_bos ? *vocabulary.bos : -1));
  print.number(static_cast<std::uint64_t>(vocabulary.unknown.value_or(-1)));
  print.number(static_cast<std::uint64_t>(vocabulary.ignore_merges) << 1 | static_cast<std::uint64_t>(vocabulary.nfc));
  add_sentencepiece(print, vocabulary);
  return print.value();
}

}  // namespace frugal::text

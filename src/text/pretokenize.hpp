// WordSplitter: cuts text into the words that byte-pair merges never cross, one published regex a family, compiled by
// hand.
//
//   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
//   smollm  every digit alone, then gpt2 on each piece between digits
//
//   llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,3}
//           | ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
//
//   qwen2   llama3 with \p{N} in place of \p{N}{1,3}
//
//   tekken  [^\r\n\p{L}\p{N}]?U*L+ | [^\r\n\p{L}\p{N}]?U+L* | \p{N}
//           | ?[^\s\p{L}\p{N}]+[\r\n/]* | \s*[\r\n]+ | \s+(?!\S) | \s+
//           with U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], L = [\p{Ll}\p{Lm}\p{Lo}\p{M}]
//
// The words joined are the text; every word but of an empty text has at least one byte. Linear in the text. Not
// thread-safe; cheap to make.
#pragma once

#include "text/unicode.hpp"

#include <frugal/text/tokenizer.hpp>

#include <string_view>

namespace frugal::text {

class WordSplitter {
 public:
  WordSplitter(PreTokenizer pre, std::string_view text);
  /// Sets `word` to the next word; false at the end of the text.
  bool next(std::string_view& word);

 private:
  struct Char {
    std::uint8_t kind;
    std::uint32_t bytes;
  };
  using Match = std::size_t (WordSplitter::*)() const;

  Char at(std::size_t pos) const noexcept;
  std::uint8_t kind(std::size_t pos) const noexcept { return pos < end_ ? at(pos).kind : std::uint8_t{kEnd}; }
  std::size_t skip(std::size_t pos, std::uint8_t wanted) const noexcept;
  std::size_t contraction(bool any_case) const noexcept;
  std::size_t blanks() const noexcept;
  std::size_t gpt2_word() const;
  std::size_t modern_word(int digits) const;
  std::size_t qwen2_word() const { return modern_word(1); }
  std::size_t llama3_word() const { return modern_word(3); }
  std::size_t tekken_word() const;
  std::size_t upper_lower(std::size_t pos) const noexcept;
  std::size_t skip_class(std::size_t pos, std::uint8_t bits) const noexcept;
  std::size_t newlines_or_blanks() const noexcept;
  void enter_piece();

  // What the regexes tell apart, each character of exactly one kind.
  enum Kind : std::uint8_t { kOther = 1, kLet = 2, kNum = 4, kBlank = 8, kNewline = 16, kEnd = 32 };

  const ClassTable* classes_;
  std::string_view text_;
  Match match_;
  bool isolate_digits_;
  std::size_t pos_ = 0;
  std::size_t end_ = 0;  // end of the piece inside which the regex sees the text
};

}  // namespace frugal::text

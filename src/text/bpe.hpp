// Bpe: byte-pair merges over one word of bytes, with the lowest-ranked, leftmost merge first, as the model's vocabulary
// was learned.
//
// Immutable after construction; thread-safe. A word that is itself a token which its own merges reach costs one
// look-up; short words are merged by scanning, long ones with a heap in O(n log n).
#pragma once

#include <frugal/text/tokenizer.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace frugal::text {

/// A hash of a few bytes.
std::uint64_t hash_bytes(std::string_view bytes) noexcept;

class Bpe {
 public:
  struct Merge {
    Token left, right, whole;  ///< best first; a later one of the same pair replaces an earlier one
  };
  struct Options {
    std::array<Token, 256> byte_tokens{};  ///< the token of each byte, -1 where there is none
    Token unknown = -1;                    ///< in place of a byte without a token; -1 = the byte is left out
    bool ignore_merges = false;            ///< a word in the vocabulary is taken whole
  };
  /// `words[id]` is what a token stands for, empty where merges never give it. The views must outlive this.
  Bpe(const std::vector<std::string_view>& words, const std::vector<Merge>& merges, const Options& options);

  void encode(std::string_view word, std::vector<Token>& out) const;
  /// The token of a whole word that merges reach (or any, with ignore_merges); -1 where there is none.
  Token whole_word(std::string_view word) const noexcept;

 private:
  struct MergeSlot {
    std::uint64_t pair = ~std::uint64_t{0};
    std::uint32_t rank = 0;
    Token whole = -1;
  };
  struct WordSlot {
    std::string_view word{};
    Token token = -1;
  };
  struct Found {
    std::uint32_t rank = ~std::uint32_t{0};
    Token whole = -1;
  };

  void insert_merge(const Merge& merge, std::uint32_t rank);
  void insert_word(std::string_view word, Token token);
  Found merge_of(Token left, Token right) const noexcept;
  void start(std::string_view word, std::vector<Token>& symbols) const;
  void merge_short(std::vector<Token>& symbols) const;
  void merge_long(std::vector<Token>& symbols) const;
  void merge(std::vector<Token>& symbols) const;

  Options options_;
  std::vector<MergeSlot> merges_;  // open addressing, a power of two
  std::vector<WordSlot> words_;    // open addressing, a power of two
  int merge_shift_ = 0;
};

}  // namespace frugal::text

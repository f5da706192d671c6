// Bpe: byte-pair merges over one word, with the lowest-ranked, leftmost merge first, as the model's vocabulary was
// learned. A word starts as bytes or as characters.
//
// Immutable after construction; thread-safe. A word that is itself a token which its own merges reach costs one
// look-up; short words are merged by scanning, long ones with a heap in O(n log n).
#pragma once

#include <frugal/text/tokenizer.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace frugal::text {

/// A hash of a few bytes.
std::uint64_t hash_bytes(std::string_view bytes) noexcept;

class Bpe {
 public:
  struct Merge {
    Token left, right, whole;
    std::uint32_t rank;  ///< lowest first, leftmost first among equals; a later entry for the same pair replaces it
  };
  struct Options {
    std::array<Token, 256> byte_tokens{};  ///< the token of each byte, -1 where there is none
    /// Where not empty, words start as characters: the token of each. A character that is not in here is its bytes, or
    /// unknown where one of these has no token.
    std::unordered_map<std::int32_t, Token> characters{};
    Token unknown = -1;          ///< in place of what has no token; -1 = it is left out
    bool fuse_unknown = false;   ///< neighbouring unknown ones become one
    bool ignore_merges = false;  ///< a word in the vocabulary is taken whole
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

  void insert_merge(const Merge& merge);
  void insert_word(std::string_view word, Token token);
  Found merge_of(Token left, Token right) const noexcept;
  void start(std::string_view word, std::vector<Token>& symbols) const;
  void start_bytes(std::string_view word, std::vector<Token>& symbols) const;
  void start_characters(std::string_view word, std::vector<Token>& symbols) const;
  void add_unknown(std::vector<Token>& symbols) const;
  void merge_short(std::vector<Token>& symbols) const;
  void merge_long(std::vector<Token>& symbols) const;
  void merge(std::vector<Token>& symbols) const;

  Options options_;
  std::vector<MergeSlot> merges_;  // open addressing, a power of two
  std::vector<WordSlot> words_;    // open addressing, a power of two
  int merge_shift_ = 0;
};

}  // namespace frugal::text

// SpecialMatcher: finds special tokens written in text, the leftmost first, of several there the longest.
//
// A byte trie; immutable after construction, thread-safe. Text without a special token's first byte is skipped a byte
// at a time.
#pragma once

#include <frugal/core/ids.hpp>
#include <frugal/text/tokenizer.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace frugal::text {

/// A special token and how it is found.
struct SpecialToken {
  Token token = -1;
  std::string_view literal{};  ///< must outlive the matcher
  bool control = false;
  bool mark = false;  ///< not to be found in what users say: see EncodeOptions::content
  bool lstrip = false, rstrip = false, single_word = false;
};

class SpecialMatcher {
 public:
  struct Found {
    Token token;
    std::size_t begin, end;  ///< of the text, blanks taken along included
  };

  void add(const SpecialToken& token);
  bool empty() const noexcept { return tokens_.empty(); }
  /// The matches in order; they do not overlap. Without `controls`, control tokens are text (they still hide what they
  /// overlap, as in the model's own tokenizer). Marks are not found where they touch `content`.
  std::vector<Found> find_all(std::string_view text, bool controls, std::span<const TextRange> content = {}) const;

 private:
  struct Node {
    std::vector<std::pair<unsigned char, std::uint32_t>> next{};
    std::int32_t token = -1;  // index into tokens_
  };
  struct Raw {
    const SpecialToken* token;
    std::size_t begin, end;
  };
  std::optional<Raw> find(std::string_view text, std::size_t from, std::span<const TextRange> content) const;
  std::uint32_t child(std::uint32_t node, char c) const noexcept;

  std::vector<SpecialToken> tokens_;
  std::vector<Node> nodes_{1};
  std::array<bool, 256> starts_{};
};

}  // namespace frugal::text

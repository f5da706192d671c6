// Vocabulary: the tokens' bytes as a trie, so that a set of allowed tokens is found by one walk that leaves a branch at
// the first byte that does not fit. Built once a tokenizer and shared by all that use an equal one. Immutable.
#pragma once

#include <frugal/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {
class Tokenizer;
}

namespace frugal::grammar {

/// The tokens that go on inside a JSON string which may hold anything, when the text is between two characters: the
/// commonest place of all. Two ways of spelling a character have a slice each.
struct StringSlice {
  struct Exit {
    std::uint32_t node;        ///< right after the closing quote
    std::uint32_t characters;  ///< before it
  };
  std::vector<std::uint32_t> words;                        ///< a bit a token: those without a closing quote
  std::vector<std::pair<std::uint32_t, Token>> by_length;  ///< characters (a begun one counts) and token, longest first
  std::vector<Exit> exits;
  std::vector<std::uint32_t> mixed;  ///< nodes, in order, with a token at or below them that is not in `words`
};

class Vocabulary {
 public:
  /// Nodes in preorder; node 0 is the root. The children of node n start at n + 1; the next sibling of n is next(n).
  struct Node {
    std::uint32_t next;   ///< the first node that is not below this one
    std::uint32_t first;  ///< its tokens are tokens()[first, first + count)
    std::uint16_t count;
    std::uint16_t depth;  ///< bytes from the root
    std::uint8_t byte;    ///< the last of them
  };

  explicit Vocabulary(const Tokenizer& tokenizer);

  /// The one of an equal tokenizer that is in use, or a new one. Any thread.
  static std::shared_ptr<const Vocabulary> of(const Tokenizer& tokenizer);

  const std::vector<Node>& nodes() const { return nodes_; }
  std::span<const Token> tokens(const Node& node) const { return {tokens_.data() + node.first, node.count}; }
  /// The child of the root with this byte; 0 where there is none.
  std::uint32_t first_child(std::uint8_t b) const { return roots_[b]; }
  /// The bytes from the root to the node.
  std::string_view path(std::uint32_t node) const {
    return std::string_view(texts_[nodes_[node].first]).substr(0, nodes_[node].depth);
  }
  std::size_t words() const { return (size_ + 31) / 32; }
  std::size_t size() const { return size_; }
  std::size_t longest() const { return longest_; }       ///< bytes of the longest token
  bool has_all_bytes() const { return has_all_bytes_; }  ///< each byte is a token
  /// The fewest tokens that spell a text, appended; false where none do. Cost: the tokens that begin at each byte.
  bool spell(std::string_view text, std::vector<Token>& out) const;
  std::span<const Token> end_tokens() const { return end_; }
  const StringSlice& any_spelling() const { return any_spelling_; }
  const StringSlice& writers_spelling() const { return writers_spelling_; }

 private:
  std::size_t size_ = 0, longest_ = 0;
  std::vector<Node> nodes_;
  std::vector<Token> tokens_;            // in the order of their bytes
  std::vector<std::string_view> texts_;  // of tokens_, into bytes_
  std::string bytes_;
  std::vector<Token> end_;
  std::uint32_t roots_[256] = {};
  bool has_all_bytes_ = true;
  StringSlice any_spelling_, writers_spelling_;
};

}  // namespace frugal::grammar

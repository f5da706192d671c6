// The radix tree behind PrefixIndex: one per space. Knows tokens and pages; knows no policy, no clock and no
// statistics.
//
// Shape, checked by check_tree: every edge is whole blocks long; siblings differ in their first block and are sorted by
// it. A model's pages cover a prefix of the edge, and a node below may hold pages of a model only where all its
// ancestors are covered: so the pages of a prefix are found on one path, without gaps, and eviction takes them from the
// end.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/ids.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <vector>

namespace frugal::prefix {

struct Node;

/// The end of a prefix, for one model: what eviction may take next. Ordered by worth, then by age.
struct Tail {
  double worth = 0;
  std::uint64_t order = 0;  // of its last use
  Node* node = nullptr;
  ModelId model{};
  friend bool operator<(const Tail& a, const Tail& b) {
    return a.worth != b.worth ? a.worth < b.worth : a.order < b.order;
  }
};
using Tails = std::set<Tail>;

/// How a piece was used; copied to both halves when its edge is split.
struct Use {
  std::uint64_t hits = 0;
  double seconds_per_token = 0;
  double inflation = 0;
  double worth = 0;
  std::uint64_t order = 0;  // one a use; shared by the parts of a split piece, of which only the last can be a tail
  TimePoint last{};
  Duration keep{};
};

/// One model's pages along one edge.
struct Piece {
  std::vector<Granule> pages{};
  std::size_t heirs = 0;  // children that hold pages of this model; 0 = these are the end of their prefix
  Use use{};
  Tails::iterator tail{};  // valid where is_tail()
  bool is_tail() const noexcept { return heirs == 0 && !pages.empty(); }
};

/// Siblings in the order of their tokens. Tokens to look up stand before, in, or behind the run of children that start
/// with them.
struct ByTokens {
  using is_transparent = void;
  using Child = std::unique_ptr<Node>;
  bool operator()(const Child& a, const Child& b) const noexcept;
  bool operator()(const Child& a, std::span<const Token> b) const noexcept;
  bool operator()(std::span<const Token> a, const Child& b) const noexcept;
};
using Children = std::set<std::unique_ptr<Node>, ByTokens>;

struct Node {
  Node* parent = nullptr;
  std::size_t before = 0;       // tokens from the root to this edge
  std::vector<Token> edge{};    // empty at a root only
  std::vector<Piece> pieces{};  // [models]
  Children children{};
};

/// Tokens per page, index = ModelId, and per block.
struct Shape {
  std::vector<std::uint32_t> page_tokens{};
  std::size_t block = 0;
  std::size_t covered(const Node& node, ModelId model) const {
    return node.pieces[model.index()].pages.size() * page_tokens[model.index()];
  }
};

std::size_t common(std::span<const Token> a, std::span<const Token> b) noexcept;

/// The child whose edge starts with these tokens' first block; null where there is none or the tokens are fewer.
Node* child_of(const Node& node, std::span<const Token> tokens, std::size_t block) noexcept;

struct Step {
  Node* node = nullptr;
  std::size_t tokens = 0;  // of its edge, covered by the model's pages and equal to the prompt; >= 1
};
/// The longest prefix of `tokens` that this model has pages for, root first.
std::vector<Step> find(const Node& root, const Shape& shape, ModelId model, std::span<const Token> tokens);

/// Tokens of the longest prefix of whole blocks whose pages an insert would find in place.
std::size_t present(const Node& root, const Shape& shape, ModelId model, std::span<const Token> tokens);

/// Calls `see` for the node and all below it, parents first; `tokens` then holds the prefix up to the end of its edge.
void visit(const Node& node, std::vector<Token>& tokens, const std::function<void(const Node&)>& see);

/// Throws Error(internal) where the shape above is violated below `node`.
void check_tree(const Node& node, const Shape& shape);

}  // namespace frugal::prefix

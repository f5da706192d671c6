#include "cache/prefix_tree.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <iterator>
#include <string>

namespace frugal::prefix {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw Error(Errc::internal, std::string("prefix index: ") + what);
}

std::span<const Token> first_block(const Node& child, std::size_t block) { return std::span(child.edge).first(block); }

// The child with the longest usable start, where no whole block of any is usable. Neighbours in order share the most,
// so the search walks outward from where the tokens would stand and ends when sharing falls below what is found.
Step best_partial(const Node& node, const Shape& shape, ModelId model, std::span<const Token> tokens) {
  const std::span<const Token> wanted = tokens.first(std::min(tokens.size(), shape.block));
  Step best;
  const auto consider = [&](Node& child) {  // false = further away is no better
    const std::size_t shared = common(first_block(child, shape.block), wanted);
    const std::size_t usable = std::min(shared, shape.covered(child, model));
    if (usable > best.tokens) best = {&child, usable};
    return shared > best.tokens;
  };
  const auto middle = node.children.lower_bound(wanted);
  for (auto it = middle; it != node.children.end() && consider(**it);) ++it;
  for (auto it = middle; it != node.children.begin() && consider(**std::prev(it));) --it;
  return best;
}

}  // namespace

bool ByTokens::operator()(const Child& a, const Child& b) const noexcept {
  return std::ranges::lexicographical_compare(a->edge, b->edge);
}
bool ByTokens::operator()(const Child& a, std::span<const Token> b) const noexcept {
  return std::ranges::lexicographical_compare(std::span(a->edge).first(std::min(a->edge.size(), b.size())), b);
}
bool ByTokens::operator()(std::span<const Token> a, const Child& b) const noexcept {
  return std::ranges::lexicographical_compare(a, std::span(b->edge).first(std::min(b->edge.size(), a.size())));
}

std::size_t common(std::span<const Token> a, std::span<const Token> b) noexcept {
  const std::size_t most = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
}

Node* child_of(const Node& node, std::span<const Token> tokens, std::size_t block) noexcept {
  if (tokens.size() < block) return nullptr;
  const auto place = node.children.lower_bound(tokens.first(block));
  if (place == node.children.end()) return nullptr;
  Node& child = **place;
  return std::ranges::equal(first_block(child, block), tokens.first(block)) ? &child : nullptr;
}

std::vector<Step> find(const Node& root, const Shape& shape, ModelId model, std::span<const Token> tokens) {
  std::vector<Step> path;
  for (const Node* node = &root; !tokens.empty();) {
    Node* const child = child_of(*node, tokens, shape.block);
    if (child == nullptr || shape.covered(*child, model) < shape.block) {
      const Step last = best_partial(*node, shape, model, tokens);
      if (last.tokens != 0) path.push_back(last);
      break;
    }
    const std::size_t usable = std::min(common(child->edge, tokens), shape.covered(*child, model));
    path.push_back({child, usable});
    if (usable < child->edge.size()) break;
    tokens = tokens.subspan(usable);
    node = child;
  }
  return path;
}

std::size_t present(const Node& root, const Shape& shape, ModelId model, std::span<const Token> tokens) {
  std::size_t sum = 0;
  const Node* node = &root;
  while (Node* const child = child_of(*node, tokens.subspan(sum), shape.block)) {
    const std::size_t shared = common(child->edge, tokens.subspan(sum)) / shape.block * shape.block;
    const std::size_t there = std::min(shared, shape.covered(*child, model));
    sum += there;
    if (there < child->edge.size()) break;
    node = child;
  }
  return sum;
}

void visit(const Node& node, std::vector<Token>& tokens, const std::function<void(const Node&)>& see) {
  tokens.resize(node.before);
  tokens.insert(tokens.end(), node.edge.begin(), node.edge.end());
  see(node);
  for (const std::unique_ptr<Node>& child : node.children) visit(*child, tokens, see);
}

void check_tree(const Node& node, const Shape& shape) {
  std::vector<std::size_t> heirs(node.pieces.size());
  const Node* left = nullptr;
  for (const std::unique_ptr<Node>& held : node.children) {
    const Node& child = *held;
    require(child.parent == &node && child.before == node.before + node.edge.size(), "a child is in the wrong place");
    require(!child.edge.empty() && child.edge.size() % shape.block == 0, "an edge is not whole blocks");
    require(left == nullptr ||
                std::ranges::lexicographical_compare(first_block(*left, shape.block), first_block(child, shape.block)),
            "children are out of order");
    left = &child;
    for (std::size_t m = 0; m < heirs.size(); ++m) heirs[m] += !child.pieces[m].pages.empty();
    check_tree(child, shape);
  }
  if (node.parent == nullptr) return;
  std::size_t longest = 0;
  for (std::uint32_t m = 0; m < node.pieces.size(); ++m) {
    const std::size_t covered = shape.covered(node, ModelId(m));
    require(covered <= node.edge.size(), "pages reach beyond their edge");
    require(heirs[m] == node.pieces[m].heirs, "heirs are miscounted");
    require(heirs[m] == 0 || covered == node.edge.size(), "a prefix has a gap");
    longest = std::max(longest, covered);
  }
  require(longest + shape.block > node.edge.size(), "an edge has a block without pages");
}

}  // namespace frugal::prefix

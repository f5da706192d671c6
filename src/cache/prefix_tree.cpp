#include "cache/prefix_tree.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
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
  const std::size_t middle = place_of(node, wanted);
  for (std::size_t i = middle; i < node.children.size() && consider(*node.children[i]);) ++i;
  for (std::size_t i = middle; i > 0 && consider(*node.children[i - 1]);) --i;
  return best;
}

}  // namespace

std::size_t common(std::span<const Token> a, std::span<const Token> b) noexcept {
  const std::size_t most = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
}

std::size_t place_of(const Node& node, std::span<const Token> block) noexcept {
  const auto less = [&](const std::unique_ptr<Node>& child, std::span<const Token> wanted) {
    return std::lexicographical_compare(
        child->edge.begin(),
        child->edge.begin() + static_cast<std::ptrdiff_t>(std::min(wanted.size(), child->edge.size())), wanted.begin(),
        wanted.end());
  };
  return static_cast<std::size_t>(std::lower_bound(node.children.begin(), node.children.end(), block, less) -
                                  node.children.begin());
}

Node* child_of(const Node& node, std::span<const Token> tokens, std::size_t block) noexcept {
  if (tokens.size() < block) return nullptr;
  const std::size_t place = place_of(node, tokens.first(block));
  if (place == node.children.size()) return nullptr;
  Node& child = *node.children[place];
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
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const Node& child = *node.children[i];
    require(child.parent == &node && child.before == node.before + node.edge.size(), "a child is in the wrong place");
    require(!child.edge.empty() && child.edge.size() % shape.block == 0, "an edge is not whole blocks");
    require(i == 0 || std::ranges::lexicographical_compare(first_block(*node.children[i - 1], shape.block),
                                                           first_block(child, shape.block)),
            "children are out of order");
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

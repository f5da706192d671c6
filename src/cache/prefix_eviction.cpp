// What leaves a PrefixIndex: pages from the ends of prefixes, the least worth first, when pages are short or too old; and
// everything at once.
#include <algorithm>
#include <cmath>
#include <memory>

#include "cache/prefix_index_impl.hpp"

namespace frugal {

using prefix::Node;
using prefix::Piece;
using prefix::Tails;

void PrefixIndex::Impl::prune(Node& node) {
  Node& parent = *node.parent;
  std::size_t longest = 0;
  for (std::uint32_t m = 0; m < node.pieces.size(); ++m) longest = std::max(longest, shape.covered(node, ModelId(m)));
  if (longest != 0) {
    if (node.children.empty()) node.edge.resize((longest + shape.block - 1) / shape.block * shape.block);
    return;
  }
  parent.children.erase(parent.children.find(std::span<const Token>(node.edge).first(shape.block)));
  --stats.nodes;
  if (parent.parent == nullptr && parent.children.empty())
    std::erase_if(spaces, [&](const auto& entry) { return &entry.second == &parent; });
}

// Takes the last page of a prefix. Returns where to go on in the order of worth: the same tail while it has pages, else
// the next one or the parent's, which may have become a tail, whichever comes first.
Tails::iterator PrefixIndex::Impl::evict_page(Tails::iterator at) {
  Node& node = *at->node;
  const ModelId model = at->model;
  Piece& piece = node.pieces[model.index()];
  if (std::isfinite(at->worth)) inflation = std::max(inflation, at->worth);
  arena.release_cached(model, piece.pages.back());
  piece.pages.pop_back();
  ++stats.evicted_pages;
  if (piece.pages.empty()) {
    const Tails::iterator own = at++;
    Piece& above = node.parent->pieces[model.index()];
    if (--above.heirs == 0 && above.is_tail()) {
      requeue(own, *node.parent, model);
      if (at == tails.end() || *above.tail < *at) at = above.tail;
    } else {
      tails.erase(own);
    }
  }
  prune(node);
  return at;
}

// Evicts in the order of worth until enough; `skip` says which pages to leave.
template <class Skip, class Enough>
std::size_t PrefixIndex::Impl::evict(Skip skip, Enough enough) {
  std::size_t pages = 0;
  for (auto at = tails.begin(); at != tails.end() && !enough();) {
    const Granule page = at->node->pieces[at->model.index()].pages.back();
    if (!arena.idle(at->model, page) || skip(*at, page)) {
      ++at;
    } else {
      at = evict_page(at);
      ++pages;
    }
  }
  return pages;
}

bool PrefixIndex::make_room(ModelId model, std::size_t pages) {
  Arena& arena = impl_->arena;
  if (arena.grantable_after_eviction(model) < pages) return false;
  const auto enough = [&] { return arena.grantable(model) >= pages; };
  // Another model's page helps only if its whole extent comes free; those first, then whatever stands before one that
  // helps.
  impl_->evict(
      [&](const prefix::Tail& t, Granule page) { return t.model != model && !arena.extent_idle(t.model, page); },
      enough);
  impl_->evict([](const prefix::Tail&, Granule) { return false; }, enough);
  return enough();
}

std::size_t PrefixIndex::expire() {
  const TimePoint now = impl_->clock.now();
  const auto fresh = [&](const prefix::Tail& t, Granule) {
    const prefix::Use& use = t.node->pieces[t.model.index()].use;
    return now - use.last <= use.keep;
  };
  return impl_->evict(fresh, [] { return false; });
}

void PrefixIndex::Impl::forget(Node& node) noexcept {
  for (const std::unique_ptr<Node>& child : node.children) forget(*child);
  for (std::uint32_t m = 0; m < node.pieces.size(); ++m)
    for (Granule page : node.pieces[m].pages) arena.release_cached(ModelId(m), page);
}

void PrefixIndex::clear() noexcept {
  for (auto& [space, root] : impl_->spaces) impl_->forget(root);
  impl_->spaces.clear();
  impl_->tails.clear();
  impl_->stats.nodes = 0;
}

}  // namespace frugal

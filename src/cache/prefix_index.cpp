// PrefixIndex: matches lock and use pieces, inserts add pages. What leaves is in prefix_eviction.cpp.
#include <frugal/cache/prefix_index.hpp>
#include <frugal/core/error.hpp>

#include "cache/prefix_index_impl.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace frugal {

using prefix::Node;
using prefix::Piece;
using prefix::Tails;

namespace {
void require(bool holds, const char* what) {
  if (!holds) throw Error(Errc::internal, std::string("prefix index: ") + what);
}
}  // namespace

// --- worth and use

double PrefixIndex::Impl::ask(const Node& node, ModelId model, const prefix::Use& use) const {
  const double now = std::chrono::duration<double>(use.last.time_since_epoch()).count();
  if (!worth) return now;
  const Piece& piece = node.pieces[model.index()];
  const std::size_t tokens = piece.pages.size() * page_tokens(model);
  const double answer = worth({.model = model,
                               .before = node.before,
                               .tokens = tokens,
                               .bytes = piece.pages.size() * arena.page(model).page_bytes,
                               .hits = use.hits,
                               .recompute_seconds = use.seconds_per_token * static_cast<double>(tokens),
                               .inflation = use.inflation,
                               .last_use_seconds = now});
  return std::isnan(answer) ? -std::numeric_limits<double>::infinity() : answer;  // a NaN has no place in an order
}

prefix::Tail PrefixIndex::Impl::tail_of(Node& node, ModelId model) noexcept {
  const prefix::Use& use = node.pieces[model.index()].use;
  return {use.worth, use.order, &node, model};
}

// The queue's entry `from` becomes this piece's.
void PrefixIndex::Impl::requeue(Tails::iterator from, Node& node, ModelId model) noexcept {
  auto entry = tails.extract(from);
  entry.value() = tail_of(node, model);
  node.pieces[model.index()].tail = tails.insert(std::move(entry)).position;
}

// Asks before anything changes, so that a policy that throws leaves the piece as it was.
void PrefixIndex::Impl::use(Node& node, ModelId model, bool hit) {
  Piece& piece = node.pieces[model.index()];
  prefix::Use now = piece.use;
  now.last = clock.now();
  now.inflation = inflation;
  now.hits += hit ? 1 : 0;
  now.worth = ask(node, model, now);
  now.order = ++uses;
  piece.use = now;
  if (piece.is_tail()) requeue(piece.tail, node, model);
}

// --- match

void PrefixIndex::Impl::lock(Lease& lease, ModelId model, std::span<const prefix::Step> path) {
  const std::size_t per_page = page_tokens(model);
  lease.arena_ = &arena, lease.model_ = model;
  std::size_t most = 0;
  for (const prefix::Step& step : path) most += step.tokens / per_page;
  lease.pages_.reserve(most);
  for (const prefix::Step& step : path) {
    const std::vector<Granule>& pages = step.node->pieces[model.index()].pages;
    for (std::size_t i = 0; i < step.tokens / per_page; ++i) {
      arena.retain(model, pages[i]);
      lease.pages_.push_back(pages[i]);
    }
    lease.tokens_ += step.tokens;
    if (step.tokens % per_page == 0) continue;
    lease.tail_ = pages[step.tokens / per_page];
    lease.tail_tokens_ = static_cast<std::uint32_t>(step.tokens % per_page);
    arena.retain(model, *lease.tail_);
  }
}

Lease PrefixIndex::match(const PrefixSpace& space, ModelId model, std::span<const Token> tokens) {
  Lease lease;
  impl_->stats.tokens_asked += tokens.size();
  const Node* root = impl_->root(space);
  const std::vector<prefix::Step> path =
      root ? prefix::find(*root, impl_->shape, model, tokens) : std::vector<prefix::Step>{};
  ++(path.empty() ? impl_->stats.misses : impl_->stats.hits);
  impl_->lock(lease, model, path);
  for (const prefix::Step& step : path) impl_->use(*step.node, model, true);
  impl_->stats.tokens_served += lease.tokens();
  return lease;
}

std::size_t PrefixIndex::longest(const PrefixSpace& space, ModelId model, std::span<const Token> tokens) const {
  std::size_t sum = 0;
  if (const Node* root = impl_->root(space))
    for (const prefix::Step& step : prefix::find(*root, impl_->shape, model, tokens)) sum += step.tokens;
  return sum;
}

// --- insert

Node* PrefixIndex::Impl::add_child(Node& parent, std::span<const Token> edge) {
  auto child = std::make_unique<Node>();
  child->parent = &parent;
  child->before = parent.before + parent.edge.size();
  child->edge.assign(edge.begin(), edge.end());
  child->pieces.resize(arena.models());
  Node* const added = parent.children.insert(std::move(child)).first->get();
  ++stats.nodes;
  return added;
}

// Cuts an edge in two at a block: the node keeps the start, a new only child takes the rest with its pages and the old
// children.
void PrefixIndex::Impl::split(Node& node, std::size_t at) {
  auto made = std::make_unique<Node>();
  Node& rest = *made;
  rest.parent = &node;
  rest.before = node.before + at;
  rest.edge.assign(node.edge.begin() + static_cast<std::ptrdiff_t>(at), node.edge.end());
  rest.pieces.resize(node.pieces.size());
  const auto kept = [&](std::size_t m) {
    return std::min(node.pieces[m].pages.size(), at / page_tokens(ModelId(static_cast<std::uint32_t>(m))));
  };
  for (std::size_t m = 0; m < node.pieces.size(); ++m) {
    const std::vector<Granule>& pages = node.pieces[m].pages;
    rest.pieces[m].pages.assign(pages.begin() + static_cast<std::ptrdiff_t>(kept(m)), pages.end());
  }
  prefix::Children only;
  only.insert(std::move(made));

  node.children.swap(only);
  rest.children.swap(only);
  for (const std::unique_ptr<Node>& child : rest.children) child->parent = &rest;
  node.edge.resize(at);
  ++stats.nodes;
  for (std::uint32_t m = 0; m < node.pieces.size(); ++m) {
    Piece &front = node.pieces[m], &back = rest.pieces[m];
    if (back.pages.empty()) continue;  // then there are no pages further down either
    back.use = front.use;
    back.heirs = front.heirs;
    if (back.is_tail()) requeue(front.tail, rest, ModelId(m));
    front.pages.resize(kept(m));
    front.heirs = 1;
  }
}

// What a caller can get wrong, before the tree changes. Pages that are indexed elsewhere can only be short ones,
// adopted from a prefix that parts from this one inside the first new block.
void PrefixIndex::Impl::check_new(ModelId model, std::span<const Granule> pages) const {
  const std::size_t per_block = shape.block / page_tokens(model), shareable = per_block - 1;
  const std::set<Granule> distinct(pages.begin(), pages.end());
  bool fit = distinct.size() == pages.size();
  for (std::size_t i = 0; i < pages.size(); ++i)
    fit = fit && arena.references(model, pages[i]) != 0 &&
          (i < shareable || arena.cached_references(model, pages[i]) == 0);
  if (!fit) throw Error(Errc::internal, "prefix index: a page to insert has no holder, or already holds other tokens");
}

// Appends to the model's pages of this edge those that it lacks; `pages` are the edge's from its start. Returns how
// many.
std::size_t PrefixIndex::Impl::add_pages(Node& node, ModelId model, std::span<const Granule> pages,
                                         const prefix::Use& fresh) {
  Piece& piece = node.pieces[model.index()];
  const std::size_t had = piece.pages.size();
  piece.use.keep = std::max(piece.use.keep, fresh.keep);
  if (pages.size() <= had) return 0;
  piece.pages.reserve(pages.size());
  if (had == 0) {
    prefix::Use first = fresh;
    first.order = ++uses;
    const Tails::iterator tail = tails.insert({first.worth, first.order, &node, model}).first;
    Piece& above = node.parent->pieces[model.index()];
    if (above.is_tail()) tails.erase(above.tail);
    ++above.heirs;
    piece.use = first;
    piece.tail = tail;
  }
  for (Granule page : pages.subspan(had)) {
    arena.retain_cached(model, page);
    piece.pages.push_back(page);
  }
  if (fresh.seconds_per_token > 0) piece.use.seconds_per_token = fresh.seconds_per_token;
  return pages.size() - had;
}

// Walks down along the tokens, opening edges where there are none, and leaves pages on the way. The pages are known to
// be fit for it.
std::size_t PrefixIndex::Impl::fill(Node& root, ModelId model, std::span<const Token> tokens,
                                    std::span<const Granule> pages, const prefix::Use& fresh) {
  std::size_t kept = 0;
  for (Node* node = &root; !tokens.empty();) {
    Node* child = prefix::child_of(*node, tokens, shape.block);
    if (child == nullptr) child = add_child(*node, tokens);
    const std::size_t shared = prefix::common(child->edge, tokens) / shape.block * shape.block;
    try {
      if (shared < child->edge.size() && shared < tokens.size()) split(*child, shared);
      kept += add_pages(*child, model, pages.first(shared / page_tokens(model)), fresh);
    } catch (...) {
      prune(*child);  // one that was opened just now has no pages
      throw;
    }
    use(*child, model, false);
    tokens = tokens.subspan(shared);
    pages = pages.subspan(shared / page_tokens(model));
    node = child;
  }
  return kept;
}

std::size_t PrefixIndex::insert(const PrefixSpace& space, ModelId model, std::span<const Token> tokens,
                                std::span<const Granule> pages, double recompute_seconds, Duration keep) {
  const std::size_t per_page = impl_->page_tokens(model), block = impl_->shape.block;
  const std::size_t length = std::min(tokens.size(), pages.size() * per_page) / block * block;
  if (length == 0 || keep <= Duration::zero()) return 0;
  prefix::Use fresh{.inflation = impl_->inflation, .last = impl_->clock.now(), .keep = keep};
  fresh.seconds_per_token = std::max(0.0, recompute_seconds) / static_cast<double>(tokens.size());

  Node* root = impl_->root(space);
  const std::size_t there = root ? prefix::present(*root, impl_->shape, model, tokens.first(length)) / per_page : 0;
  impl_->check_new(model, pages.first(length / per_page).subspan(there));
  if (root == nullptr) {
    Node opened;
    opened.pieces.resize(impl_->arena.models());
    root = &impl_->spaces.try_emplace(space, std::move(opened)).first->second;
  }
  try {
    return impl_->fill(*root, model, tokens.first(length), pages.first(length / per_page), fresh);
  } catch (...) {
    std::erase_if(impl_->spaces, [](const auto& entry) { return entry.second.children.empty(); });
    throw;
  }
}

// --- the rest

PrefixIndex::PrefixIndex(Arena& arena, Worth worth, const Clock& clock)
    : impl_(std::make_unique<Impl>(Impl{.arena = arena, .worth = std::move(worth), .clock = clock})) {
  for (const PagePlan& page : arena.plan().models) impl_->shape.page_tokens.push_back(page.page_tokens);
  impl_->shape.block = arena.plan().block_tokens();
}

PrefixIndex::~PrefixIndex() { clear(); }

PrefixIndexStats PrefixIndex::stats() const {
  PrefixIndexStats now = impl_->stats;
  now.spaces = impl_->spaces.size();
  for (std::uint32_t m = 0; m < impl_->arena.models(); ++m)
    now.pages.push_back(impl_->arena.stats(ModelId(m)).cached_pages);
  return now;
}

void PrefixIndex::visit(const std::function<void(const PrefixPiece&)>& see) const {
  std::vector<Token> tokens;
  for (const auto& entry : impl_->spaces)
    prefix::visit(entry.second, tokens, [&](const Node& node) {
      for (std::uint32_t m = 0; m < node.pieces.size(); ++m)
        if (!node.pieces[m].pages.empty()) see({entry.first, ModelId(m), tokens, node.before, node.pieces[m].pages});
    });
}

// Counts nodes, pages and tails of a tree, and holds each page and tail against arena and queue.
void PrefixIndex::Impl::check(const Node& node, Census& census) const {
  census.nodes += node.parent != nullptr;
  for (std::uint32_t m = 0; m < node.pieces.size(); ++m) {
    const Piece& piece = node.pieces[m];
    for (Granule page : piece.pages) {
      ++census.pages[{m, page}];
    }
    census.tails += piece.is_tail();
    require(!piece.is_tail() || (piece.tail->node == &node && piece.tail->model == ModelId(m)),
            "a tail is not in the queue");
  }
  for (const std::unique_ptr<Node>& child : node.children) check(*child, census);
}

void PrefixIndex::check_integrity() const {
  impl_->arena.check_integrity();
  Impl::Census census;
  for (const auto& [space, root] : impl_->spaces) {
    prefix::check_tree(root, impl_->shape);
    impl_->check(root, census);
  }
  for (const auto& [page, times] : census.pages)
    require(impl_->arena.cached_references(ModelId(page.first), page.second) == times,
            "the arena's count of a page's cached references differs");
  std::size_t cached = 0;
  for (std::size_t pages : stats().pages) cached += pages;
  require(census.pages.size() == cached, "the arena counts a different number of pages as cached");
  require(census.tails == impl_->tails.size(), "the queue holds an entry that is not a tail");
  require(census.nodes == impl_->stats.nodes, "nodes are miscounted");
}

}  // namespace frugal

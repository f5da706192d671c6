// The state of a PrefixIndex: trees of pieces, one per space, and the queue of tails. The queue is ordered by worth as
// answered at each piece's last use, so the next page to evict is found without asking again.
//
// Every change first allocates what it needs, then moves what is there: an allocation that fails leaves the tree and the
// queue as they were. A tail that moves keeps its node of the queue.
#pragma once

#include <frugal/cache/prefix_index.hpp>
#include <frugal/core/clock.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>

#include "cache/prefix_tree.hpp"

namespace frugal {

struct PrefixIndex::Impl {
  Arena& arena;
  Worth worth;
  const Clock& clock;
  prefix::Shape shape{};
  std::map<PrefixSpace, prefix::Node> spaces{};  // roots
  prefix::Tails tails{};
  std::uint64_t uses = 0;
  double inflation = 0;
  PrefixIndexStats stats{};

  std::uint32_t page_tokens(ModelId model) const { return shape.page_tokens[model.index()]; }
  prefix::Node* root(const PrefixSpace& space) {
    const auto found = spaces.find(space);
    return found == spaces.end() ? nullptr : &found->second;
  }

  double ask(const prefix::Node& node, ModelId model, const prefix::Use& use) const;
  static prefix::Tail tail_of(prefix::Node& node, ModelId model) noexcept;
  void requeue(prefix::Tails::iterator from, prefix::Node& node, ModelId model) noexcept;
  void use(prefix::Node& node, ModelId model, bool hit);
  void lock(Lease& lease, ModelId model, std::span<const prefix::Step> path);

  prefix::Node* add_child(prefix::Node& parent, std::span<const Token> edge);
  void split(prefix::Node& node, std::size_t at);
  void check_new(ModelId model, std::span<const Granule> pages) const;
  std::size_t add_pages(prefix::Node& node, ModelId model, std::span<const Granule> pages, const prefix::Use& fresh);
  std::size_t fill(prefix::Node& root, ModelId model, std::span<const Token> tokens, std::span<const Granule> pages,
                   const prefix::Use& fresh);

  prefix::Tails::iterator evict_page(prefix::Tails::iterator at);
  void prune(prefix::Node& node);
  void forget(prefix::Node& node) noexcept;
  struct Census {
    std::size_t nodes = 0, tails = 0;
    std::map<std::pair<std::uint32_t, Granule>, std::uint32_t> pages{};  // how often each is indexed
  };
  void check(const prefix::Node& node, Census& census) const;
  template <class Skip, class Enough>
  std::size_t evict(Skip skip, Enough enough);
};

}  // namespace frugal

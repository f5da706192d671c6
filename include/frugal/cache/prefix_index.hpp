// PrefixIndex: prompts that were computed once, found again token by token. One radix tree per (tokenizer, salt); each
// edge holds tokens, and for every model the pages of its keys and values, or fewer, or none: hits are per model, and
// one model's miss never vetoes another's hit.
//
//   "You are the support desk of ... " --+-- "How do I return ..."
//   model A: 56 pages, model B: 0        |
//                                        +-- "Where is my parcel ..."
//
//   Edges are whole blocks (ArenaPlan::block_tokens) long. Children are ordered by their tokens, so equal means equal.
//
// A match is a Lease: it keeps its pages alive until it is dropped, so eviction never takes what someone is about to
// read. Mechanism only: what a prefix is worth is the host's function, asked when a piece is inserted or used; the
// answer orders eviction until its next use.
//
// Threads: none; the engine's driving thread. Cost: match and insert O(tokens * log children), make_room O(log pieces)
// a page.
#pragma once

#include <frugal/cache/arena.hpp>
#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/ids.hpp>
#include <frugal/core/view.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace frugal {

/// Who may share. Two spaces never share a page, whatever their tokens.
struct PrefixSpace {
  std::uint64_t tokenizer = 0;  ///< fingerprint of the vocabulary: ids mean the same text
  std::string salt{};           ///< tenant
  AdapterId adapter{};          ///< keys and values depend on it
  friend auto operator<=>(const PrefixSpace&, const PrefixSpace&) = default;
};

/// What a match found, held. Drop it when the pages are adopted and the tail is copied. The arena must outlive it.
/// Move-only.
class FRUGAL_API Lease {
 public:
  Lease() = default;  ///< a miss
  ~Lease();
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  /// Full pages, equal to the prompt's first pages().size() * page_tokens tokens: PageTable::adopt takes them.
  std::span<const Granule> pages() const noexcept { return pages_; }
  /// A page whose first tail_tokens() tokens continue the full ones, then differ: copy those into an own page
  /// (Backend::copy_pages).
  std::optional<Granule> tail_page() const noexcept { return tail_; }
  std::uint32_t tail_tokens() const noexcept { return tail_tokens_; }  ///< < page_tokens; 0 = no tail
  std::size_t tokens() const noexcept { return tokens_; }              ///< in full pages and tail together
  explicit operator bool() const noexcept { return tokens_ != 0; }
  void release() noexcept;
  /// Gives the partly shared page back; the full ones stay.
  void release_tail() noexcept;

 private:
  friend class PrefixIndex;
  Arena* arena_ = nullptr;
  ModelId model_{};
  std::vector<Granule> pages_;
  std::optional<Granule> tail_;
  std::uint32_t tail_tokens_ = 0;
  std::size_t tokens_ = 0;
};

/// One model's pages along one edge, as visit() shows it.
struct PrefixPiece {
  const PrefixSpace& space;
  ModelId model{};
  std::span<const Token> tokens;   ///< from the start of the prompt to the end of the edge
  std::size_t before = 0;          ///< tokens ahead of the first page
  std::span<const Granule> pages;  ///< may end short of the edge
};

struct PrefixIndexStats {
  std::uint64_t hits = 0, misses = 0;  ///< matches that found at least a token, or none
  std::uint64_t tokens_asked = 0, tokens_served = 0;
  std::uint64_t evicted_pages = 0;
  std::vector<std::size_t> pages{};  ///< indexed now; index = ModelId
  std::size_t nodes = 0, spaces = 0;
};

class FRUGAL_API PrefixIndex {
 public:
  /// Higher stays longer. Must not call the index. What it throws passes through match and insert, which leaves the
  /// index whole.
  using Worth = std::function<double(const PrefixView&)>;

  /// Arena and clock must outlive the index; the arena also outlives all leases. An empty `worth` = least recently used
  /// goes first.
  PrefixIndex(Arena& arena, Worth worth, const Clock& clock);
  ~PrefixIndex();
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  /// The longest indexed prefix of `tokens` for this model, locked, and counted as a use of it. Pass a prompt without
  /// its last token: the logits of that one are needed, so it has to be computed.
  Lease match(const PrefixSpace& space, ModelId model, std::span<const Token> tokens);
  /// Its length in tokens, without lock, use or statistics: for schedulers and routers.
  std::size_t longest(const PrefixSpace& space, ModelId model, std::span<const Token> tokens) const;

  /// Indexes computed pages: pages[i] holds tokens [i * page_tokens, ...). Only whole blocks enter; what is already
  /// there stays (the caller keeps its own copy). Takes a reference to each page it keeps; the caller must not
  /// write them again. `recompute_seconds` is what computing all of `tokens` costs, 0 = unknown. A piece unused for
  /// longer than `keep` goes with the next expire(). Returns the pages kept.
  std::size_t insert(const PrefixSpace& space, ModelId model, std::span<const Token> tokens,
                     std::span<const Granule> pages, double recompute_seconds, Duration keep = Duration::max());

  /// Evicts until the arena can grant the model so many pages: the least worth first over all models, always from the
  /// end of a prefix, a page at a time, never a page somebody else holds. Returns false if impossible; then nothing is
  /// evicted, unless pages in use block idle ones.
  bool make_room(ModelId model, std::size_t pages);
  /// Evicts what has been unused for longer than its `keep`. Returns pages.
  std::size_t expire();
  /// Forgets everything; pages that others hold live on with them.
  void clear() noexcept;

  /// Shows every piece, beginnings before ends: for saving an index, and for tests. `see` must not call the index.
  void visit(const std::function<void(const PrefixPiece&)>& see) const;
  PrefixIndexStats stats() const;
  /// Throws Error(internal) unless the trees are well formed and their pages are exactly those that the arena counts as
  /// cached; includes the arena's own check.
  void check_integrity() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal

// Arena: who owns which page of the one KV allocation that all models share. Accounting only: the memory itself belongs
// to the backend.
//
//   bytes     |.............. extent 0 ..............|.............. extent 1 ..............| ...
//   model A   |  page  |  page  |  page  |  page  |  |
//   model B                                          |      page      |      page      |    |
//
//   An extent serves one model at a time; what no page fills at its end lies idle.
//
// An extent is claimed for a model when it needs pages, and returns to the common list when its last page is free: no
// static split between models. Pages are named by their first granule and counted by reference. One reference may be
// the cache's own: a page that only the cache holds is idle, so "what could be freed" is a number, not a search.
//
// Threads: none; the engine's driving thread. Cost: grant and release O(log extents), counts O(1), check_integrity
// O(pages).
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace frugal {

/// One model's pages.
struct PagePlan {
  std::uint32_t page_tokens = 0;
  std::size_t page_bytes = 0;  ///< page_tokens * kv_bytes_per_token, rounded up to whole granules
  std::uint32_t pages_per_extent = 0;
};

struct ArenaPlan {
  std::size_t extent_bytes = 0;
  std::vector<PagePlan> models{};  ///< index = ModelId
  double waste = 0;                ///< share of an extent that can hold no keys and values, of the worst model

  /// The largest page_tokens: prefixes are shared in blocks of so many tokens.
  FRUGAL_API std::uint32_t block_tokens() const noexcept;
};

/// Chooses the extent and every model's page. The smallest extent of n * 2 MiB <= 16 MiB, b in {16, 8, 32, 64} tokens a
/// page, that wastes at most 2% for every model, else the one that wastes least. An arena too small for four such
/// extents a model (a test's) gets the smallest extent of whole granules by the same rule. `page_tokens` may fix b:
/// empty or 0 = chosen, one entry = for all models, else one a model; a power of two. Throws Error: invalid_argument
/// (no model, a model without keys and values, a bad page_tokens), too_large (not one extent a model fits, or more
/// granules than an int32 can name).
FRUGAL_API ArenaPlan plan_arena(std::size_t bytes, std::span<const std::size_t> kv_bytes_per_token,
                                std::span<const std::uint32_t> page_tokens = {});

struct ArenaStats {
  std::size_t total_bytes = 0;    ///< = free + leased + indexed + waste
  std::size_t free_bytes = 0;     ///< in free extents, and in free pages of claimed ones
  std::size_t leased_bytes = 0;   ///< pages held by a sequence or a lease (whether the cache holds them too or not)
  std::size_t indexed_bytes = 0;  ///< pages held by the cache alone
  std::size_t waste_bytes = 0;    ///< the rest of claimed extents, and of the arena, that no page covers
};

struct ArenaModelStats {
  std::size_t extents = 0, free_pages = 0;          ///< claimed extents, and the free pages in them
  std::size_t leased_pages = 0, indexed_pages = 0;  ///< as in ArenaStats
  std::size_t cached_pages = 0;                     ///< held by the cache, alone or not
};

class FRUGAL_API Arena {
 public:
  static constexpr std::size_t granule_bytes = 4096;

  /// Takes a plan of plan_arena for the same number of bytes. Throws Error(invalid_argument) where they contradict each
  /// other.
  Arena(std::size_t bytes, ArenaPlan plan);

  const ArenaPlan& plan() const noexcept { return plan_; }
  const PagePlan& page(ModelId model) const { return plan_.models[model.index()]; }
  std::size_t models() const noexcept { return plan_.models.size(); }

  /// Appends n pages of the model to `out`, each with one reference; all of them, or none and false.
  bool grant(ModelId model, std::size_t n, std::vector<Granule>& out);
  /// One more reference to a page that is held.
  void retain(ModelId model, Granule page);
  /// One reference less; the last one frees the page, and the last page its extent.
  void release(ModelId model, Granule page) noexcept;
  std::uint32_t references(ModelId model, Granule page) const;  ///< 0 = free, or no page of this model

  /// The cache's own references. Several, where pages shorter than a block are shared by prefixes that part inside it.
  void retain_cached(ModelId model, Granule page);
  void release_cached(ModelId model, Granule page) noexcept;
  std::uint32_t cached_references(ModelId model, Granule page) const;  ///< included in references()
  /// Held by the cache alone: evicting it frees the page.
  bool idle(ModelId model, Granule page) const;
  /// Every held page of the page's extent is idle: evicting them all gives the extent to any model.
  bool extent_idle(ModelId model, Granule page) const;

  /// Pages that grant() could give to the model now.
  std::size_t grantable(ModelId model) const noexcept;
  /// The same if the cache gave up every idle page. An upper bound: leaf-first eviction may not reach each of them.
  std::size_t grantable_after_eviction(ModelId model) const noexcept;

  ArenaStats stats() const;
  ArenaModelStats stats(ModelId model) const;
  /// Throws Error(internal) unless every page is free, leased or indexed, and all counters agree with the pages.
  void check_integrity() const;

 private:
  // Extent numbers, the lowest first; its memory is fixed, so that giving a page back cannot fail.
  class Numbers {
   public:
    explicit Numbers(std::size_t limit) : words_((limit + 63) / 64), lowest_(words_.size()) {}
    void insert(std::size_t number) noexcept;
    void erase(std::size_t number) noexcept;
    bool contains(std::size_t number) const noexcept { return (words_[number / 64] >> (number % 64) & 1U) != 0; }
    std::size_t size() const noexcept { return size_; }
    std::size_t lowest() noexcept;  // of at least one

   private:
    std::vector<std::uint64_t> words_;
    std::size_t lowest_, size_ = 0;  // no bit is set below word lowest_
  };
  struct Page {
    std::uint32_t references = 0;
    std::uint32_t cached = 0;  // references that the cache holds
    bool held() const noexcept { return references != 0; }
    bool idle() const noexcept { return held() && references == cached; }
  };
  struct Extent {
    std::uint32_t owner = 0;            // model + 1; 0 = free
    std::uint32_t held = 0;             // pages with a reference
    std::uint32_t idle = 0;             // held pages that only the cache refers to
    std::vector<Page> pages{};          // [pages_per_extent]
    std::vector<std::uint32_t> free{};  // page numbers, the next one to grant last
  };
  struct Owned {
    Numbers partial;  // extents with free pages; the lowest is filled first, so that high ones run empty
    std::size_t extents = 0, held = 0, idle = 0, cached = 0;
    std::size_t idle_extents = 0;  // extents whose held pages are all idle
  };
  struct Place {
    std::size_t extent = 0, page = 0;
  };

  std::size_t extent_granules() const noexcept { return plan_.extent_bytes / granule_bytes; }
  std::size_t page_granules(ModelId model) const { return page(model).page_bytes / granule_bytes; }
  bool locate(ModelId model, Granule page, Place& at) const noexcept;
  Page state(ModelId model, Granule page) const noexcept;
  void claim(ModelId model);
  void change(ModelId model, Place at, Page now) noexcept;
  void drop(ModelId model, Granule page, std::uint32_t cached) noexcept;
  void check_extent(std::size_t number, std::vector<Owned>& sums) const;

  std::size_t bytes_;
  ArenaPlan plan_;
  std::vector<Extent> extents_;
  Numbers free_extents_;
  std::vector<Owned> owned_;
};

}  // namespace frugal

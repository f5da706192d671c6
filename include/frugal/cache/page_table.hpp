// PageTable: the pages of one sequence for one model, in order; owns a reference to each and gives them back when it
// dies.
//
//   tokens 0 .. shared          adopted pages: full, shared with the cache or other sequences, never written
//   tokens shared .. tokens()   own pages: written by forward(), the last one possibly in part
//
// Threads: none; as Arena, which must outlive it. Move-only.
#pragma once

#include <frugal/cache/arena.hpp>
#include <frugal/config.hpp>
#include <frugal/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace frugal {

class FRUGAL_API PageTable {
 public:
  PageTable() = default;  ///< no model: may only be assigned to, asked for its sizes, or released
  PageTable(Arena& arena, ModelId model);
  ~PageTable();
  PageTable(PageTable&& other) noexcept;
  PageTable& operator=(PageTable&& other) noexcept;
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;

  ModelId model() const noexcept { return model_; }
  std::uint32_t page_tokens() const noexcept { return page_tokens_; }
  std::size_t tokens() const noexcept { return tokens_; }                        ///< positions that have a place
  std::size_t shared_tokens() const noexcept { return shared_ * page_tokens_; }  ///< positions in adopted pages
  std::size_t capacity() const noexcept { return pages_.size() * page_tokens_; }
  std::span<const Granule> pages() const noexcept { return pages_; }  ///< the block table, [ceil(tokens / page_tokens)]
  std::span<const Granule> full_pages(
      std::size_t tokens) const noexcept;  ///< those that the first `tokens` tokens fill

  /// Pages that grow_to(tokens) would need beyond those held.
  std::size_t missing(std::size_t tokens) const noexcept;
  /// Makes room for so many tokens in all; false = pages are short and nothing has changed. Never shrinks.
  bool grow_to(std::size_t tokens);
  /// Forgets the tokens from here on and releases pages that hold none of the rest: rejected drafts, a lookahead not
  /// used. Growing again reuses the last page in place, so it must not be a shared one: tokens >= shared_tokens(), or
  /// whole adopted pages. Throws Error(internal) otherwise.
  void trim_to(std::size_t tokens);
  /// Starts an empty table with full pages that others hold too (a Lease's): takes a reference of its own to each.
  /// Throws Error(internal) where the table is not empty.
  void adopt(std::span<const Granule> pages);
  /// Gives every page back; the table is empty and may be used again.
  void release() noexcept;

 private:
  Arena* arena_ = nullptr;
  ModelId model_{};
  std::uint32_t page_tokens_ = 0;
  std::size_t tokens_ = 0;
  std::size_t shared_ = 0;  // adopted pages
  std::vector<Granule> pages_;
};

}  // namespace frugal

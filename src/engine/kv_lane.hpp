// KvLane: one model's keys and values of one sequence: its pages, how far they are filled, how far they are offered to
// the prefix index. The target has one for each sequence, every draft model another. Driving thread only.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/cache/arena.hpp>
#include <frugal/cache/page_table.hpp>
#include <frugal/cache/prefix_index.hpp>
#include <frugal/core/clock.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

namespace frugal {

/// Where all lanes' pages come from.
struct KvStore {
  Arena& arena;
  PrefixIndex* index;  ///< null = lever off
  Backend& backend;
  const LogSink& log;
  Duration shortest_keep = Duration::max();  ///< of what was indexed; max = nothing ever expires

  /// Evicts idle prefixes until the arena can grant so many pages. False: it cannot.
  bool make_room(ModelId model, std::size_t pages) const { return index != nullptr && index->make_room(model, pages); }
};

/// In whose name a lane reads and writes shared prefixes.
struct PrefixName {
  PrefixSpace space{};
  Duration keep{};  ///< zero = neither reads nor writes
  RequestId request{};
};

struct KvLane {
  std::optional<PageTable> pages{};
  std::uint32_t kv = 0;       ///< leading tokens whose keys and values are in the pages
  std::uint32_t indexed = 0;  ///< of those, offered to the prefix index

  /// Starts with the longest shared prefix of `context` without its last token, a copy of a partly shared page, and room
  /// for more. `reserve` makes that room in `pages`. False: it could not, and the lane is closed.
  bool adopt(KvStore& store, ModelId model, const PrefixName& name, std::span<const Token> context,
             const std::function<bool()>& reserve);
  /// Room for so many tokens from free pages, then from idle prefixes.
  bool grow(const KvStore& store, std::size_t tokens);
  /// Full blocks of `computed`, whose keys and values are in the pages, enter the prefix index. Never throws: what fails
  /// is logged and not offered again.
  void offer(KvStore& store, const PrefixName& name, std::span<const Token> computed,
             double seconds_per_token) noexcept;
  /// Whole blocks of so many tokens that have not been offered yet.
  bool has_news(const KvStore& store, std::uint32_t computed) const {
    return computed / store.arena.plan().block_tokens() * store.arena.plan().block_tokens() > indexed;
  }
  /// Keys and values hold as far as the first `valid` tokens.
  void trim(std::uint32_t valid);
  void close() noexcept {
    pages.reset();
    kv = indexed = 0;
  }

 private:
  bool reserve_beside(Lease& lease, const std::function<bool()>& reserve);
};

}  // namespace frugal

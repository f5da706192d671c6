// PrefixReplay: what a prefix cache would have found, request by request, from the chained hashes of the prompts'
// blocks. A chained hash names a block with all that is before it, so the radix tree is a table of hashes; a request
// touches its blocks from the last to the first, so that the least recent block is always a leaf. One thread.
#pragma once

#include "advise/lru_table.hpp"

#include <frugal/advise/cache_rules.hpp>

#include <cstdint>
#include <span>

namespace frugal::advisor {

struct PrefixRequest {
  std::uint64_t salt = 0;  ///< of the model: a prefix is another one there
  std::span<const std::uint64_t> blocks{};
  std::uint32_t block_tokens = 16;
  std::uint64_t prompt_tokens = 0;
  double at = 0;        ///< submission, s
  double ready_at = 0;  ///< when what it computes can be read by others, s
};

struct PrefixResult {
  std::uint64_t hit_tokens = 0;
  std::uint64_t seen_tokens = 0;     ///< sent before, whether or not a cache still has them
  std::uint64_t short_tokens = 0;    ///< a shared beginning that is just too short for the cache; 0 = there is none
  std::uint64_t written_tokens = 0;  ///< to be paid as cache writes: of blocks that are read again, now or later
};

class PrefixReplay {
 public:
  explicit PrefixReplay(std::size_t most_blocks) : blocks_(most_blocks) {}
  /// In the order of submission.
  PrefixResult request(const PrefixRequest& request, const CacheRules& rules);
  std::uint64_t evicted() const { return blocks_.evicted(); }  ///< above 0: results are lower bounds

 private:
  struct Block {
    double used = 0, ready = 0;
    bool kept = false;    ///< by the cache; else only sent
    bool shared = false;  ///< was read at least once: a breakpoint stands behind it
    bool paid = false;    ///< its present copy's write is in `written_tokens`
  };
  struct Runs {
    std::size_t seen = 0, hits = 0;  ///< leading blocks
  };
  static bool is_alive(const Block& block, double at, const CacheRules& rules);
  Runs leading(const PrefixRequest& request, const CacheRules& rules);
  /// A block of a cached prompt; returns the tokens that are to be paid as written.
  static std::uint64_t keep(Block& block, const PrefixRequest& request, const CacheRules& rules, bool hit);

  LruTable<Block> blocks_;
};

}  // namespace frugal::advisor

#include "advise/prefix_replay.hpp"

#include <algorithm>

namespace frugal::advisor {

namespace {

bool is_alive(double used, double at, const CacheRules& rules) { return !rules.ttl_s || at - used <= *rules.ttl_s; }

}  // namespace

std::size_t PrefixReplay::leading_hits(const PrefixRequest& r, const CacheRules& rules) {
  std::size_t run = 0;
  for (; run < r.blocks.size(); ++run) {
    const auto id = blocks_.find(r.blocks[run] ^ r.salt);
    if (id == blocks_.none) break;
    const Block& block = blocks_[id];
    if (!is_alive(block.used, r.at, rules) || (!rules.waits && block.ready > r.at)) break;
  }
  return run;
}

PrefixResult PrefixReplay::request(const PrefixRequest& r, const CacheRules& rules) {
  PrefixResult result;
  if (r.prompt_tokens < std::max<std::uint64_t>(rules.least_tokens, 1)) return result;
  const std::size_t run = leading_hits(r, rules);
  // The last token's logits start the answer: it is computed in any case.
  const std::uint64_t found = std::min<std::uint64_t>(run * r.block_tokens, r.prompt_tokens - 1);
  result.hit_tokens = found / rules.step_tokens * rules.step_tokens;
  if (result.hit_tokens < rules.least_tokens) result.hit_tokens = 0;
  for (std::size_t i = r.blocks.size(); i-- > 0;) {
    auto id = blocks_.find(r.blocks[i] ^ r.salt);
    const bool fresh = id == blocks_.none;
    if (fresh)
      id = blocks_.insert(r.blocks[i] ^ r.salt);
    else
      blocks_.touch(id);
    Block& block = blocks_[id];
    const bool hit = i < run && result.hit_tokens > 0;
    if (hit) block.shared = true;
    if (!hit && (fresh || !is_alive(block.used, r.at, rules))) block.ready = r.ready_at, block.paid = false;
    if (block.shared && !block.paid) result.written_tokens += r.block_tokens, block.paid = true;
    block.used = r.at;
  }
  return result;
}

}  // namespace frugal::advisor

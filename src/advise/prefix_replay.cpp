#include "advise/prefix_replay.hpp"

#include <algorithm>

namespace frugal::advisor {

bool PrefixReplay::is_alive(const Block& block, double at, const CacheRules& rules) {
  return block.kept && (!rules.ttl_s || at - block.used <= *rules.ttl_s);
}

PrefixReplay::Runs PrefixReplay::leading(const PrefixRequest& r, const CacheRules& rules) {
  Runs runs;
  for (bool hit = true; runs.seen < r.blocks.size(); ++runs.seen) {
    const auto id = blocks_.find(r.blocks[runs.seen] ^ r.salt);
    if (id == blocks_.none) break;
    const Block& block = blocks_[id];
    hit = hit && is_alive(block, r.at, rules) && (rules.waits || block.ready <= r.at);
    runs.hits += hit;
  }
  return runs;
}

PrefixResult PrefixReplay::request(const PrefixRequest& r, const CacheRules& rules) {
  PrefixResult result;
  if (r.prompt_tokens == 0) return result;
  const bool is_cached = r.prompt_tokens >= rules.least_tokens;
  const Runs runs = leading(r, rules);
  // The last token's logits start the answer: it is computed in any case.
  const std::uint64_t found = std::min<std::uint64_t>(runs.hits * r.block_tokens, r.prompt_tokens - 1);
  result.seen_tokens = runs.seen * r.block_tokens;
  result.hit_tokens = is_cached ? found / rules.step_tokens * rules.step_tokens : 0;
  if (result.hit_tokens < rules.least_tokens) result.hit_tokens = 0;
  const std::uint64_t shared = is_cached ? found : std::min(result.seen_tokens, r.prompt_tokens - 1);
  if (shared < rules.least_tokens && rules.least_tokens - shared <= rules.least_tokens / 4)
    result.short_tokens = shared;
  for (std::size_t i = r.blocks.size(); i-- > 0;) {
    auto id = blocks_.find(r.blocks[i] ^ r.salt);
    if (id == blocks_.none)
      id = blocks_.insert(r.blocks[i] ^ r.salt);
    else
      blocks_.touch(id);
    if (is_cached) result.written_tokens += keep(blocks_[id], r, rules, i < runs.hits && result.hit_tokens > 0);
  }
  return result;
}

std::uint64_t PrefixReplay::keep(Block& block, const PrefixRequest& r, const CacheRules& rules, bool hit) {
  if (hit) block.shared = true;
  if (!hit && !is_alive(block, r.at, rules)) block.ready = r.ready_at, block.paid = false;
  const bool pays = block.shared && !block.paid;
  block.paid = block.paid || pays;
  block.kept = true, block.used = r.at;
  return pays ? r.block_tokens : 0;
}

}  // namespace frugal::advisor

#include "advise/answer_replay.hpp"

namespace frugal::advisor {

namespace {

std::uint64_t mixed(std::uint64_t hash, std::uint64_t salt) {
  hash = (hash ^ (hash >> 31) ^ salt) * 0xBF58476D1CE4E5B9U;
  return hash ^ (hash >> 29);
}

}  // namespace

Repeat AnswerReplay::request(const TraceRecord& r, std::uint64_t salt) {
  Repeat repeat;
  const bool whole_chain = !r.prefix_blocks.empty() && r.prefix_blocks.size() == r.prompt_tokens / r.block_tokens;
  repeat.known = r.prompt_hash.has_value() || whole_chain;
  if (!repeat.known || r.output_tokens == 0) return repeat;
  const std::uint64_t key =
      r.prompt_hash ? mixed(*r.prompt_hash, salt) : mixed(r.prefix_blocks.back() + r.prefix_blocks.size(), ~salt);
  auto id = seen_.find(key);
  if (id == seen_.none) {
    id = seen_.insert(key);
    seen_[id] = {r.prompt_tokens, r.output_tokens, r.answer_hash.value_or(0), false};
    return repeat;
  }
  seen_.touch(id);
  Seen& first = seen_[id];
  if (!r.prompt_hash && first.prompt_tokens != r.prompt_tokens) first.mixed = true;
  repeat.likely = !first.mixed;
  const bool whole = r.prompt_hash || r.prompt_tokens % r.block_tokens == 0;
  repeat.sure = repeat.likely &&
                (r.answer_hash ? *r.answer_hash == first.answer : whole || r.output_tokens == first.output_tokens);
  return repeat;
}

}  // namespace frugal::advisor

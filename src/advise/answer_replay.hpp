// AnswerReplay: which requests asked a question that was answered before. With `prompt_hash` that is exact. Without it,
// equal chains of blocks and equal prompt lengths stand for equal prompts, as long as the chain reaches the prompt's
// end and was never seen with another length: then the last, unhashed tokens are where the questions differ. One
// thread.
#pragma once

#include "advise/lru_table.hpp"

#include <frugal/meter/trace.hpp>

#include <cstdint>

namespace frugal::advisor {

struct Repeat {
  bool known = false;   ///< the record says enough to tell
  bool likely = false;  ///< the same question was answered before
  bool sure = false;    ///< and nothing speaks against the same answer
};

class AnswerReplay {
 public:
  explicit AnswerReplay(std::size_t most) : seen_(most) {}
  /// In the order of submission; `salt` names model and tenant.
  Repeat request(const TraceRecord& record, std::uint64_t salt);

 private:
  struct Seen {
    std::uint64_t prompt_tokens = 0, output_tokens = 0, answer = 0;
    bool mixed = false;
  };
  LruTable<Seen> seen_;
};

}  // namespace frugal::advisor

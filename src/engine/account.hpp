// Account: the one writer of a request's TokenLedger and DraftLedger. Everything that happens to a token of the request
// is told here once; the sums that Ledger::consistent() checks hold after every call.
#pragma once

#include <frugal/core/ledger.hpp>

#include <cstdint>

namespace frugal {

class Account {
 public:
  /// Who an answer's token is owed to.
  enum class Owner { decoded, drafted, forced };
  /// Where a token stands that came as a draft: its place in the chain.
  struct Origin {
    Owner owner = Owner::decoded;
    std::uint32_t place = 0;
  };

  /// Keys and values of the first `kv` tokens were at hand.
  void found(std::uint32_t kv, std::uint32_t prompt_tokens);
  /// One pass computed `rows` rows from position `kv` on, of which the first `kept` stay (the rest were rejected drafts).
  void computed(std::uint32_t kv, std::uint32_t rows, std::uint32_t kept, std::uint32_t prompt_tokens);
  /// The answer has one token more.
  void accept(Origin origin);
  /// The newest one was cut off again.
  void trim(Origin origin);

  void drafted(std::uint32_t tokens) { drafts_.drafted += tokens; }
  /// A chain of so many drafts went through a pass of the target's.
  void verified(std::uint32_t tokens, Duration took);
  void drafting(Duration took) { drafts_.draft_time += took; }
  /// Rows that a draft model computed to see what the target had seen.
  void catching_up(std::uint32_t rows, Duration took);

  /// What was drafted and not kept is wasted, whether it was verified or not.
  TokenLedger tokens() const;
  /// `plain_pass` seconds: what an accepted draft saved; 0 = not known.
  DraftLedger drafts(double plain_pass) const;
  Usage usage() const;

 private:
  TokenLedger tokens_{};
  DraftLedger drafts_{};
  std::uint32_t computed_ = 0;  // high-water mark of kv: rows below it are recomputed, not fresh
};

}  // namespace frugal

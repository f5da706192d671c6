// Usage and Ledger: what a request consumed, and which lever saved or wasted what. Every token has exactly one owner;
// the sums stated below hold for every finished request, and Ledger::consistent() checks them. Plain values; add with
// +=, which stops at the largest number instead of wrapping. The names of all fields are in ledger_fields.hpp.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace frugal {

/// What a bill is made of, in tokens. `input` includes `cached_read` and `cache_write`; `output` includes `reasoning`.
struct Usage {
  std::uint64_t input = 0;
  std::uint64_t cached_read = 0;  ///< part of input: read from a prefix cache instead of computed
  /// Part of input: computed, and billed as written to a provider's cache (0 for local models).
  std::uint64_t cache_write = 0;
  std::uint64_t output = 0;
  std::uint64_t reasoning = 0;       ///< part of output: tokens the caller does not see
  std::uint64_t cache_write_1h = 0;  ///< part of cache_write: written to live an hour instead of minutes

  FRUGAL_API Usage& operator+=(const Usage& o);
  friend bool operator==(const Usage&, const Usage&) = default;
};

/// Tokens by owner, and the passes that computed them.
struct TokenLedger {
  // the prompt: computed + cached = usage.input
  std::uint64_t prompt_computed = 0;  ///< went through prefill
  std::uint64_t prompt_cached = 0;    ///< keys and values were at hand
  // the answer: decoded + accepted + forced = usage.output
  std::uint64_t decoded = 0;   ///< one pass each
  std::uint64_t accepted = 0;  ///< drafted, verified and kept
  std::uint64_t forced = 0;    ///< the grammar left no choice
  // spent without reaching the caller
  std::uint64_t wasted_drafts = 0;  ///< drafted and rejected
  std::uint64_t recomputed = 0;     ///< computed again after preemption
  std::uint64_t trimmed = 0;        ///< decoded, then cut off by a stop text or a cap that looks back
  // work
  std::uint64_t passes = 0;  ///< forward passes this request took part in
  std::uint64_t rows = 0;    ///< token rows computed for it in those passes

  FRUGAL_API TokenLedger& operator+=(const TokenLedger& o);
  friend bool operator==(const TokenLedger&, const TokenLedger&) = default;
};

/// What speculation did for one request. accepted <= verified <= drafted.
struct DraftLedger {
  std::uint64_t drafted = 0;   ///< proposed by a drafter
  std::uint64_t verified = 0;  ///< drafts that became rows of a target's pass; the rest found no room or came too late
  std::uint64_t accepted = 0;  ///< drafts kept in the answer: each saved a pass
  std::uint64_t passes = 0;    ///< target passes with at least one drafted row
  std::uint64_t catch_up = 0;  ///< rows that a draft model computed to see what the target had seen
  /// By place in the chain, index 0 = the first draft: acceptance at place i is accepted_at[i] / verified_at[i].
  std::vector<std::uint64_t> verified_at{}, accepted_at{};
  /// Wall time of the work this request took part in, shared with the sequences beside it.
  Duration draft_time{}, catch_up_time{}, verify_time{};
  /// Estimate: the time that plain passes would have taken for the accepted tokens (at the mean of this engine's own
  /// plain passes) less the three times above. Negative: drafting cost more than it saved. 0: nothing to compare with.
  Duration saved{};

  /// Drafts that were not kept, verified or not.
  std::uint64_t wasted() const { return drafted < accepted ? 0 : drafted - accepted; }

  FRUGAL_API DraftLedger& operator+=(const DraftLedger& o);
  friend bool operator==(const DraftLedger&, const DraftLedger&) = default;
};

/// One endpoint's attempt at a request.
struct Attempt {
  std::string endpoint{}, model{};
  Usage usage{};
  /// None where the endpoint does not know how its tokens came about (a provider's API reports only usage).
  std::optional<TokenLedger> tokens{};
  std::optional<double> score{};  ///< what the cascade policy judged by; none = nothing did
  bool accepted = true;           ///< false: its answer was thrown away
  DraftLedger drafts{};
};

/// The whole account of a request. `attempts` has one entry for a plain endpoint and one per attempt of a cascade.
struct Ledger {
  std::vector<Attempt> attempts{};

  FRUGAL_API TokenLedger total() const;   ///< over the attempts that have a token ledger
  FRUGAL_API DraftLedger drafts() const;  ///< over all attempts
  FRUGAL_API Usage usage() const;         ///< over all attempts: what is paid for
  /// The stated sums hold in every attempt: those of Usage always, those of TokenLedger and DraftLedger where the
  /// attempt has a token ledger.
  FRUGAL_API bool consistent() const;
};

}  // namespace frugal

// The fields of Usage, TokenLedger and DraftLedger, each spelled once: sums, traces, JSON, metrics and reports all walk
// this table, so a new field is one line here. Stateless; everything is resolved at compile time.
#pragma once

#include <frugal/core/ledger.hpp>

#include <string_view>
#include <type_traits>

namespace frugal {

enum class FieldKind {
  tokens,    ///< std::uint64_t: tokens
  work,      ///< std::uint64_t: passes or rows
  by_place,  ///< std::vector<std::uint64_t>: tokens by place in a chain of drafts
  time,      ///< Duration; milliseconds in JSON, and the name ends in "_ms"
};

struct LedgerField {
  std::string_view name;   ///< as in JSON
  FieldKind kind;          ///< what the numbers count
  std::string_view words;  ///< for people
};

/// Calls f(const LedgerField&, pointer to member) for every field of L, in the order in which they are written.
/// f is generic: the member's type is std::uint64_t, std::vector<std::uint64_t> or Duration, as FieldKind says.
template <class L, class F>
constexpr void for_each_field(F&& f) {
  using enum FieldKind;
  using Field = LedgerField;
  static_assert(std::is_same_v<L, Usage> || std::is_same_v<L, TokenLedger> || std::is_same_v<L, DraftLedger>);
  if constexpr (std::is_same_v<L, Usage>) {
    f(Field{"input", tokens, "prompt"}, &Usage::input);
    f(Field{"cached_read", tokens, "prompt, from a cache"}, &Usage::cached_read);
    f(Field{"cache_write", tokens, "prompt, written to a cache"}, &Usage::cache_write);
    f(Field{"cache_write_1h", tokens, "prompt, written to a cache for an hour"}, &Usage::cache_write_1h);
    f(Field{"output", tokens, "answer"}, &Usage::output);
    f(Field{"reasoning", tokens, "answer, reasoning"}, &Usage::reasoning);
  } else if constexpr (std::is_same_v<L, TokenLedger>) {
    f(Field{"prompt_computed", tokens, "prompt, computed"}, &TokenLedger::prompt_computed);
    f(Field{"prompt_cached", tokens, "prompt, from a cache"}, &TokenLedger::prompt_cached);
    f(Field{"decoded", tokens, "answer, decoded"}, &TokenLedger::decoded);
    f(Field{"accepted", tokens, "answer, drafted and kept"}, &TokenLedger::accepted);
    f(Field{"forced", tokens, "answer, forced by a grammar"}, &TokenLedger::forced);
    f(Field{"wasted_drafts", tokens, "drafts thrown away"}, &TokenLedger::wasted_drafts);
    f(Field{"recomputed", tokens, "computed again"}, &TokenLedger::recomputed);
    f(Field{"trimmed", tokens, "decoded and cut off"}, &TokenLedger::trimmed);
    f(Field{"passes", work, "passes"}, &TokenLedger::passes);
    f(Field{"rows", work, "rows"}, &TokenLedger::rows);
  } else {
    f(Field{"drafted", tokens, "drafted"}, &DraftLedger::drafted);
    f(Field{"verified", tokens, "verified"}, &DraftLedger::verified);
    f(Field{"accepted", tokens, "kept"}, &DraftLedger::accepted);
    f(Field{"passes", work, "passes with drafts"}, &DraftLedger::passes);
    f(Field{"catch_up", work, "rows to catch up"}, &DraftLedger::catch_up);
    f(Field{"verified_at", by_place, "verified, by place"}, &DraftLedger::verified_at);
    f(Field{"accepted_at", by_place, "kept, by place"}, &DraftLedger::accepted_at);
    f(Field{"draft_ms", time, "drafting"}, &DraftLedger::draft_time);
    f(Field{"catch_up_ms", time, "catching up"}, &DraftLedger::catch_up_time);
    f(Field{"verify_ms", time, "verifying"}, &DraftLedger::verify_time);
    f(Field{"saved_ms", time, "saved"}, &DraftLedger::saved);
  }
}

}  // namespace frugal

// Usage and ledgers as the program and the reports write them: one spelling of the keys.
#pragma once

#include <frugal/core/finish.hpp>
#include <frugal/core/ledger.hpp>

#include <nlohmann/json.hpp>

namespace frugal::meter {

using json = nlohmann::ordered_json;

inline json to_json(const Usage& u) {
  return {{"input", u.input},
          {"cached_read", u.cached_read},
          {"cache_write", u.cache_write},
          {"output", u.output},
          {"reasoning", u.reasoning}};
}

inline json to_json(const TokenLedger& t) {
  return {{"prompt_computed", t.prompt_computed},
          {"prompt_cached", t.prompt_cached},
          {"decoded", t.decoded},
          {"accepted", t.accepted},
          {"forced", t.forced},
          {"wasted_drafts", t.wasted_drafts},
          {"recomputed", t.recomputed},
          {"trimmed", t.trimmed},
          {"avoided", t.avoided},
          {"passes", t.passes},
          {"rows", t.rows}};
}

inline json to_json(const DraftLedger& d) {
  return {{"drafted", d.drafted},
          {"verified", d.verified},
          {"accepted", d.accepted},
          {"wasted", d.wasted},
          {"passes", d.passes},
          {"catch_up", d.catch_up},
          {"verified_at", d.verified_at},
          {"accepted_at", d.accepted_at},
          {"draft_ms", milliseconds(d.draft_time)},
          {"catch_up_ms", milliseconds(d.catch_up_time)},
          {"verify_ms", milliseconds(d.verify_time)},
          {"saved_ms", milliseconds(d.saved)}};
}

}  // namespace frugal::meter

// Usage and ledgers as the program and the reports write them: one spelling of the keys.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/ledger_fields.hpp>

#include <optional>
#include <string>
#include <type_traits>

#include <nlohmann/json.hpp>

namespace frugal::meter {

using json = nlohmann::ordered_json;

template <class L>
json fields_json(const L& ledger) {
  json out = json::object();
  for_each_field<L>([&](const LedgerField& field, auto member) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(ledger.*member)>, Duration>)
      out[std::string(field.name)] = milliseconds(ledger.*member);
    else
      out[std::string(field.name)] = ledger.*member;
  });
  return out;
}

inline json to_json(const Usage& u) { return fields_json(u); }
inline json to_json(const TokenLedger& t) { return fields_json(t); }
inline json to_json(const std::optional<TokenLedger>& t) { return t ? fields_json(*t) : json(); }

inline json to_json(const DraftLedger& d) {
  json out = fields_json(d);
  out["wasted"] = d.wasted();
  return out;
}

}  // namespace frugal::meter

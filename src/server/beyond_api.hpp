// What neither API has a word for, and the stop text that ended an answer.
#pragma once

#include <frugal/core/finish.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "server/json.hpp"

namespace frugal::server {

/// The client's stop text that ended the answer. A cascade that fell back adds its reason behind a semicolon.
inline std::optional<std::string> matched_stop(const Finish& finish, const std::vector<std::string>& stops) {
  if (finish.reason != FinishReason::stop) return std::nullopt;
  for (const std::string& stop : stops)
    if (finish.detail == stop || finish.detail.rfind(stop + "; answer of ", 0) == 0) return stop;
  return std::nullopt;
}

/// {"finish": "capped", "detail": "..."}: a cap, a deadline, an escalation that failed; null where there is nothing to say.
inline Json beyond_api(const Finish& finish, const std::vector<std::string>& stops) {
  const bool plain = finish.reason == FinishReason::stop || finish.reason == FinishReason::length;
  const std::optional<std::string> stop = matched_stop(finish, stops);
  const std::string detail =
      stop ? finish.detail.substr(std::min(finish.detail.size(), stop->size() + 2)) : finish.detail;
  const bool said = detail.empty() || detail == "tool_calls" || detail == "tool_use";  // in the API's own words
  if (plain && said) return nullptr;
  return {{"finish", std::string(to_string(finish.reason))}, {"detail", detail}};
}

}  // namespace frugal::server

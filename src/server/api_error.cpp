#include "server/api_error.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "server/json.hpp"

namespace frugal::server {

namespace {

const char* openai_type(const ApiError& e) {
  if (e.status == 401) return "authentication_error";
  if (e.code == "insufficient_quota") return "insufficient_quota";
  if (e.status == 429) return "rate_limit_error";
  return e.status >= 500 ? "server_error" : "invalid_request_error";
}

const char* anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 408:
    case 504:
      return "timeout_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

constexpr std::string_view sampling = "sampling.";

std::string first_word(std::string_view text) {
  const auto end = std::find_if(text.begin(), text.end(), [](char c) { return (c < 'a' || c > 'z') && c != '_'; });
  return {text.begin(), end};
}

}  // namespace

void refuse(const std::string& field, const std::string& message, Errc code) {
  throw Refused{{400, Error(code, field.empty() ? message : field + ": " + message), field, {}, false}};
}

ApiError api_error(const Error& error) {
  switch (error.code()) {
    case Errc::invalid_argument:
    case Errc::unsupported:
    case Errc::bad_file:
    case Errc::bad_model:
      return {400, error, {}, {}, false};
    case Errc::too_large:
      return {400, error, {}, "context_length_exceeded", false};
    case Errc::busy:
      return {429, error, {}, "rate_limit_exceeded", false};
    case Errc::over_budget:
      return {429, error, {}, "insufficient_quota", true};
    case Errc::denied:  // of a provider, for our key: a client can do nothing about it
      return {502, error, {}, {}, true};
    case Errc::unavailable:
    case Errc::cancelled:
      return {503, error, {}, {}, false};
    default:
      return {500, error, {}, {}, false};
  }
}

std::string field_at_fault(const Error& error, std::string_view prompt) {
  if (error.code() == Errc::too_large) return std::string(prompt);
  if (error.code() != Errc::invalid_argument && error.code() != Errc::unsupported) return {};
  std::string_view text = error.message();
  if (text.starts_with("endpoint ")) {
    const std::size_t colon = text.find(": ");
    const std::string_view who = text.substr(0, colon);
    if (colon == std::string_view::npos || who.find(" answered ") != std::string_view::npos)
      return {};  // its own words
    text.remove_prefix(colon + 2);
  }
  if (text.starts_with("the prompt ") || text.starts_with("the conversation ") || text.starts_with("input "))
    return std::string(prompt);
  if (text.starts_with(sampling)) return first_word(text.substr(sampling.size()));
  constexpr std::array known{"logit_bias", "logprobs", "max_tokens", "seed", "stop", "temperature"};
  const std::string first = first_word(text);
  return std::find(known.begin(), known.end(), first) == known.end() ? std::string() : first;
}

std::string openai_error(const ApiError& e) {
  Json inner{{"message", e.error.message()}, {"type", openai_type(e)}, {"param", nullptr}, {"code", nullptr}};
  if (!e.field.empty()) inner["param"] = e.field;
  if (!e.code.empty()) inner["code"] = e.code;
  return dumped(Json{{"error", std::move(inner)}});
}

std::string anthropic_error(const ApiError& e, const std::string& request_id) {
  return dumped(Json{{"type", "error"},
                     {"error", {{"type", anthropic_type(e.status)}, {"message", e.error.message()}}},
                     {"request_id", request_id}});
}

}  // namespace frugal::server

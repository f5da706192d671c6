#include "server/json.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/json_depth.hpp"
#include "server/api_error.hpp"

namespace frugal::server {

namespace {

constexpr std::size_t most_depth = 100;

std::string range(double low, double high) {
  const auto spelled = [](double x) { return dumped(Json(x)); };
  return "must be a number from " + spelled(low) + " to " + spelled(high);
}

}  // namespace

std::string dumped(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json parse_body(std::string_view body) {
  if (json_deeper_than(body, most_depth)) refuse("", "the body is nested deeper than " + std::to_string(most_depth));
  try {
    Json parsed = Json::parse(body);
    if (!parsed.is_object()) refuse("", "the body must be a JSON object");
    return parsed;
  } catch (const Json::parse_error& error) {  // its own text quotes the body, so it is not passed on
    refuse("", "the body is not valid JSON at byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    refuse("", "the body holds a number out of range");
  }
}

Fields::Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object.is_object()) refuse(where_, "must be an object");
}

const Json* Fields::take(const char* key) {
  taken_.emplace_back(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const Json& Fields::need(const char* key) {
  const Json* const found = take(key);
  if (found == nullptr) refuse(path(key), "is missing");
  return *found;
}

std::optional<std::string> Fields::text(const char* key) {
  const Json* const found = take(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) refuse(path(key), "must be a string");
  return found->get<std::string>();
}

std::string Fields::need_text(const char* key) {
  need(key);
  return *text(key);
}

std::optional<bool> Fields::flag(const char* key) {
  const Json* const found = take(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) refuse(path(key), "must be true or false");
  return found->get<bool>();
}

std::optional<double> Fields::number(const char* key, double low, double high) {
  const Json* const found = take(key);
  if (found == nullptr) return std::nullopt;
  const double value = found->is_number() ? found->get<double>() : std::nan("");
  if (!(value >= low && value <= high)) refuse(path(key), range(low, high));
  return value;
}

std::optional<std::uint64_t> Fields::whole(const char* key, std::uint64_t low, std::uint64_t high) {
  const Json* const found = take(key);
  if (found == nullptr) return std::nullopt;
  const bool fits =
      found->is_number_unsigned() && found->get<std::uint64_t>() >= low && found->get<std::uint64_t>() <= high;
  if (!fits) refuse(path(key), "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  return found->get<std::uint64_t>();
}

const Json* Fields::list(const char* key) {
  const Json* const found = take(key);
  if (found != nullptr && !found->is_array()) refuse(path(key), "must be a list");
  return found;
}

const Json* Fields::object(const char* key) {
  const Json* const found = take(key);
  if (found != nullptr && !found->is_object()) refuse(path(key), "must be an object");
  return found;
}

void Fields::ignore(std::initializer_list<const char*> keys) {
  for (const char* key : keys) taken_.emplace_back(key);
}

void Fields::unsupported(const char* key, const char* why, const Json& harmless) {
  const Json* const found = take(key);
  if (found != nullptr && (harmless.is_null() || *found != harmless)) refuse(path(key), why, Errc::unsupported);
}

void Fields::refuse_rest() {
  for (const auto& [key, value] : object_.items())
    if (std::find(taken_.begin(), taken_.end(), key) == taken_.end())
      refuse(path(key.substr(0, 80)), "this field is not known here", Errc::unsupported);
}

}  // namespace frugal::server

#include "server/json.hpp"

#include "core/json_depth.hpp"
#include "server/api_error.hpp"

namespace frugal::server {

std::string dumped(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json parse_body(std::string_view body) {
  if (body.empty()) refuse("", "the body is empty");
  constexpr JsonBounds bounds;
  const JsonExcess excess = json_excess(body, bounds);
  if (excess == JsonExcess::too_deep) refuse("", "the body is nested deeper than " + std::to_string(bounds.depth));
  if (excess == JsonExcess::too_many_keys)
    refuse("", "an object of the body has more than " + std::to_string(bounds.keys) + " keys");
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

void FieldRefusal::refuse(const std::string& path, const std::string& what, Errc code) {
  server::refuse(path, what, code);
}

}  // namespace frugal::server

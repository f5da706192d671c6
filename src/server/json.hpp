// JSON that clients wrote, read field by field.
#pragma once

#include <frugal/core/error.hpp>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "text/json_fields.hpp"

namespace frugal::server {

using Json = nlohmann::ordered_json;

/// Valid UTF-8; bytes that are no character become U+FFFD.
std::string dumped(const Json& value);

/// A request's body as an object. Throws Refused: malformed, too deep, or something else than an object.
Json parse_body(std::string_view body);

/// A wrong field becomes a Refused, which does not repeat what the client wrote.
struct FieldRefusal {
  [[noreturn]] static void refuse(const std::string& path, const std::string& what, Errc code);
  static std::string shown(const Json&) { return {}; }
};
using Fields = text::JsonFields<Json, FieldRefusal>;

}  // namespace frugal::server

// What the dialects share: refusing what cannot be said, and reading JSON that somebody else wrote.
#pragma once

#include <frugal/core/error.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/request.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace frugal::http {

using Json = nlohmann::ordered_json;

/// The first field of the request that no chat API has a place for, as an error; none where all can be said.
std::optional<Error> unsayable(const Request& request, const HttpOptions& options);

/// The JSON schema that the answer must meet; null where there is none.
Json schema_of(const Request& request);
/// The schema says no more than that it is an object, for which OpenAI's APIs have a form of their own.
bool any_object(const Json& schema);

/// An event's data as an object; none where it is not one. Depth is bounded.
std::optional<Json> object_of(std::string_view text);

/// A member by name, or null JSON.
const Json& member(const Json& object, const char* key);
/// A count by name: a whole number below 10^12, or none.
std::optional<std::uint64_t> count(const Json& object, const char* key);
/// A string by name, or empty.
std::string text(const Json& object, const char* key);

/// The tools of a chat as a list. Error(invalid_argument) where they are not a JSON array.
expected<Json> tools_of(const Chat& chat);

/// Valid UTF-8 JSON text; bytes that are no character become U+FFFD.
std::string dumped(const Json& value);

}  // namespace frugal::http

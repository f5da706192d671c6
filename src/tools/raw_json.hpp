// Slices of JSON text. A schema, a tool or a message is handed on as it was written, because a tree loses the order of
// keys and the digits of large numbers.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace frugal::tools {

namespace detail {

inline std::size_t skip_blanks(std::string_view text, std::size_t at) {
  while (at < text.size() && std::string_view(" \t\r\n").find(text[at]) != std::string_view::npos) ++at;
  return at;
}

inline std::size_t skip_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at)
    if (text[at] == '\\') ++at;
  return at + 1;
}

inline std::size_t skip_value(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = skip_string(text, at);
    } else {
      if (depth == 0 && std::string_view(",]} \t\r\n").find(c) != std::string_view::npos) return at;
      depth += c == '{' || c == '[' ? 1U : 0U;
      depth -= c == '}' || c == ']' ? 1U : 0U;
      ++at;
    }
    if (depth == 0 && (c == '"' || c == '}' || c == ']')) return at;
  }
  return at;
}

}  // namespace detail

/// Calls visit(key, at, value) for each member of `object`, which must be the text of a valid JSON object: its name, where
/// its text begins in `object`, the text of its value. Ends where visit says false. Linear in the text.
template <class Visit>
void each_raw_member(std::string_view object, Visit visit) {
  std::size_t at = detail::skip_blanks(object, 0) + 1;
  while ((at = detail::skip_blanks(object, at)) < object.size() && object[at] == '"') {
    const std::size_t key_end = detail::skip_string(object, at);
    const std::string_view token = object.substr(at, key_end - at);
    const std::size_t begin = detail::skip_blanks(object, detail::skip_blanks(object, key_end) + 1);
    const std::size_t end = detail::skip_value(object, begin);
    const std::string key = token.find('\\') == std::string_view::npos
                                ? std::string(token.substr(1, token.size() - 2))
                                : nlohmann::json::parse(token).get<std::string>();
    if (!visit(key, at, object.substr(begin, end - begin))) return;
    at = detail::skip_blanks(object, end) + 1;
  }
}

/// The text of a member's value in `object`, which must be the text of a valid JSON object without repeated keys; empty
/// where there is no such member. Linear in the text.
inline std::string_view raw_member(std::string_view object, std::string_view key) {
  std::string_view found;
  each_raw_member(object, [&](const std::string& name, std::size_t, std::string_view value) {
    if (name != key) return true;
    found = value;
    return false;
  });
  return found;
}

/// The texts of the elements of `list`, which must be the text of a valid JSON array.
inline std::vector<std::string_view> raw_elements(std::string_view list) {
  std::vector<std::string_view> out;
  std::size_t at = detail::skip_blanks(list, detail::skip_blanks(list, 0) + 1);
  while (at < list.size() && list[at] != ']') {
    const std::size_t end = detail::skip_value(list, at);
    out.push_back(list.substr(at, end - at));
    at = detail::skip_blanks(list, detail::skip_blanks(list, end) + 1);
  }
  return out;
}

}  // namespace frugal::tools

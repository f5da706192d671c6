// How deep and how wide a JSON text is, looked at before it is parsed: so that whatever builds or walks the tree by
// recursion needs a bounded stack, and a tree that keeps the order of keys, where each new key is compared with all
// before it, needs bounded time. Other readers use json_tree.hpp, which has a bound on depth of its own.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace frugal {

struct JsonBounds {
  std::size_t depth = 100;  ///< objects and lists inside each other
  std::size_t keys = 4096;  ///< in one object
};

enum class JsonExcess { none, too_deep, too_many_keys };

/// What the text has too much of, outside of strings. Linear; any bytes are allowed.
inline JsonExcess json_excess(std::string_view text, const JsonBounds& bounds = {}) {
  std::vector<std::size_t> keys;  // of the objects and lists that are open; colons stand in objects only
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (keys.size() >= bounds.depth) return JsonExcess::too_deep;
      keys.push_back(0);
    } else if ((c == '}' || c == ']') && !keys.empty()) {
      keys.pop_back();
    } else if (c == ':' && !keys.empty() && ++keys.back() > bounds.keys) {
      return JsonExcess::too_many_keys;
    }
  }
  return JsonExcess::none;
}

}  // namespace frugal

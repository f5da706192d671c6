// How deep a JSON text is nested, looked at before it is parsed, so that whatever builds or walks the tree by recursion
// needs a bounded stack. For readers that keep the order of keys; others use json_tree.hpp, which has its own bound.
#pragma once

#include <cstddef>
#include <string_view>

namespace frugal {

/// Objects and lists inside each other, outside of strings, go deeper than `most`. Linear; any bytes are allowed.
inline bool json_deeper_than(std::string_view text, std::size_t most) {
  std::size_t depth = 0;
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
      if (++depth > most) return true;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return false;
}

}  // namespace frugal

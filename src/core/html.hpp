// Foreign text inside a page: printable, and none of it is markup.
#pragma once

#include <string>
#include <string_view>

#include "core/printable.hpp"

namespace frugal {

/// For HTML text and attributes.
inline std::string html_escaped(std::string_view words) {
  std::string out;
  for (const char c : printable(words)) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (c == '\'')
      out += "&#39;";
    else
      out += c;
  }
  return out;
}

}  // namespace frugal

// Stop texts: where an answer ends because of its text, and what must be held back until that is decided.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

struct StopMatch {
  const std::string* stop = nullptr;  ///< which one matched; null = none
  std::size_t safe = 0;  ///< bytes at the front that can no longer change: what stands before the match, or
                         ///< all but the longest end that may become one
};

/// Looks in `text`, which begins with all that was held back before, for the stop text that is complete first; the longest
/// where several end at one place. So the answer ends at one place, whatever the pieces it comes in. Stop texts are not
/// empty. Time O(stops x (bytes + the longest one squared)).
inline StopMatch find_stop(std::string_view text, const std::vector<std::string>& stops) {
  StopMatch found{nullptr, std::string_view::npos};
  std::size_t end = std::string_view::npos;
  for (const std::string& stop : stops) {
    const std::size_t at = text.find(stop);
    if (at == std::string_view::npos || at + stop.size() > end) continue;
    if (at + stop.size() == end && at > found.safe) continue;
    end = at + stop.size();
    found = {&stop, at};
  }
  if (found.stop != nullptr) return found;
  std::size_t held = 0;
  for (const std::string_view stop : stops)
    for (std::size_t n = std::min(stop.size() - 1, text.size()); n > held; --n)
      if (text.substr(text.size() - n) == stop.substr(0, n)) held = n;
  return {nullptr, text.size() - held};
}

}  // namespace frugal

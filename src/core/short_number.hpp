// Numbers for messages: as short as tells them from their neighbours, 0.01 and not 0.010000.
#pragma once

#include <array>
#include <charconv>
#include <string>

namespace frugal {

template <class Number>
std::string short_number(Number value) {
  std::array<char, 64> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

}  // namespace frugal

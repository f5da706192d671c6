// Numbers for people: with no more digits than tell them from their neighbours, 0.01 and not 0.010000, and without an
// exponent unless they are far from 1.
#pragma once

#include <array>
#include <charconv>
#include <string>
#include <system_error>

namespace frugal {

template <class Number>
std::string short_number(Number value) {
  std::array<char, 48> text{};
  std::to_chars_result end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (end.ec != std::errc{}) end = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end.ptr};
}

}  // namespace frugal

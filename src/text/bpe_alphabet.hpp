// GPT-2's byte-to-unicode alphabet: each byte written as one printable character, so that a vocabulary file holds no
// blanks.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace frugal::text {

/// The character that stands for a byte: itself where printable in Latin-1, else the next free one from U+0100 on.
constexpr std::array<std::int32_t, 256> byte_alphabet() {
  std::array<std::int32_t, 256> letters{};
  std::int32_t next = 0x100;
  for (std::int32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    letters[static_cast<std::size_t>(b)] = printable ? b : next++;
  }
  return letters;
}

/// The bytes that a text in the alphabet stands for; none where a character is not of the alphabet.
std::optional<std::string> bytes_of_letters(std::string_view letters);

}  // namespace frugal::text

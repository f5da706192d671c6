#include "text/bpe_alphabet.hpp"

#include "text/unicode.hpp"

namespace frugal::text {
namespace {

constexpr std::size_t kLetters = 0x144;  // one past the last character of the alphabet

constexpr std::array<std::int16_t, kLetters> letter_bytes() {
  std::array<std::int16_t, kLetters> bytes{};
  bytes.fill(-1);
  const auto letters = byte_alphabet();
  for (std::size_t b = 0; b < 256; ++b) bytes[static_cast<std::size_t>(letters[b])] = static_cast<std::int16_t>(b);
  return bytes;
}
constexpr std::array<std::int16_t, kLetters> kLetterBytes = letter_bytes();

}  // namespace

std::optional<std::string> bytes_of_letters(std::string_view letters) {
  std::string bytes;
  for (std::size_t at = 0; at < letters.size();) {
    const CodePoint c = decode_utf8(letters, at);
    if (c.value < 0 || c.value >= static_cast<std::int32_t>(kLetters)) return std::nullopt;
    const std::int16_t byte = kLetterBytes[static_cast<std::size_t>(c.value)];
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
    at += c.bytes;
  }
  return bytes;
}

}  // namespace frugal::text

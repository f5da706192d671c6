// ByteSet: a set of bytes, 256 bits.
#pragma once

#include <array>
#include <cstdint>

namespace frugal::grammar {

struct ByteSet {
  std::array<std::uint64_t, 4> words{};

  static constexpr ByteSet all() { return {{~0ULL, ~0ULL, ~0ULL, ~0ULL}}; }
  static constexpr ByteSet range(unsigned first, unsigned last) {
    ByteSet s;
    for (unsigned b = first; b <= last; ++b) s.add(static_cast<std::uint8_t>(b));
    return s;
  }
  static constexpr ByteSet one(std::uint8_t b) { return range(b, b); }

  constexpr void add(std::uint8_t b) { words[b >> 6] |= 1ULL << (b & 63); }
  constexpr bool has(std::uint8_t b) const { return (words[b >> 6] >> (b & 63)) & 1; }
  constexpr bool empty() const { return (words[0] | words[1] | words[2] | words[3]) == 0; }
  constexpr ByteSet operator~() const { return {{~words[0], ~words[1], ~words[2], ~words[3]}}; }
  constexpr ByteSet& operator&=(const ByteSet& o) {
    for (unsigned i = 0; i < 4; ++i) words[i] &= o.words[i];
    return *this;
  }
  constexpr ByteSet& operator|=(const ByteSet& o) {
    for (unsigned i = 0; i < 4; ++i) words[i] |= o.words[i];
    return *this;
  }
  constexpr bool operator==(const ByteSet&) const = default;

  /// Calls f(byte) for each member, in order.
  template <class F>
  void each(F f) const {
    for (unsigned w = 0; w < 4; ++w) {
      for (std::uint64_t left = words[w]; left != 0; left &= left - 1) {
        f(static_cast<std::uint8_t>(w * 64 + static_cast<unsigned>(__builtin_ctzll(left))));
      }
    }
  }
};

}  // namespace frugal::grammar

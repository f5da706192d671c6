// A 64-bit running hash for fingerprints: FNV-1a over 8-byte words with a final avalanche. Not for hostile keys; stable
// across builds.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace frugal::model {

class Hash {
 public:
  Hash& add(std::uint64_t word) {
    state_ = (state_ ^ word) * 0x100000001B3ULL;
    state_ ^= state_ >> 29;
    return *this;
  }
  Hash& add(double value) { return add(std::bit_cast<std::uint64_t>(value)); }
  Hash& add(std::span<const std::byte> bytes) {
    add(std::uint64_t{bytes.size()});
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, std::min<std::size_t>(8, bytes.size() - at));
      add(word);
    }
    return *this;
  }
  Hash& add(std::string_view text) { return add(std::as_bytes(std::span(text.data(), text.size()))); }

  /// Never 0, which means "none" wherever fingerprints are kept.
  std::uint64_t value() const {
    std::uint64_t h = state_;
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDULL;
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53ULL;
    h ^= h >> 33;
    return h == 0 ? 1 : h;
  }

 private:
  std::uint64_t state_ = 0xCBF29CE484222325ULL;
};

}  // namespace frugal::model

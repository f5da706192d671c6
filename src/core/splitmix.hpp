// splitmix64 (Steele, Lea and Flood 2014): a stream of 64-bit numbers from a counter. For jitter and names, not secrets.
#pragma once

#include <cstdint>

namespace frugal {

inline std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t x = state += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace frugal

// splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): numbers that depend on a
// counter or a seed alone and are the same on every machine. Not for secrets.
#pragma once

#include <cstdint>

namespace frugal {

/// The generator's step: add it to the state, then mix64.
inline constexpr std::uint64_t splitmix_gamma = 0x9e3779b97f4a7c15ULL;

/// The finaliser: a bijection of 64 bits in which each input bit changes about half of the output bits.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// The first output of the generator that starts at `seed`.
constexpr std::uint64_t splitmix64(std::uint64_t seed) { return mix64(seed + splitmix_gamma); }

/// 64 random bits as a number in [0, 1), a multiple of 2^-53.
constexpr double unit_interval(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

/// Number `index` of a sequence that depends on the seed, in [0, 1).
constexpr double uniform_at(std::uint64_t seed, std::uint64_t index) {
  return unit_interval(mix64((seed + 1) * splitmix_gamma + index * 0xd1342543de82ef95ULL));
}

}  // namespace frugal

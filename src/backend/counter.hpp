// The counter-based random numbers of draws: 53 bits of Philox4x32-10 for each (seed, position, purpose).
#pragma once

#include "backend/philox.hpp"

#include <frugal/backend/batch.hpp>

#include <cstdint>

namespace frugal::backend {

/// The number times 2^64: its low 11 bits are zero, so that it is also exact as a double in [0, 1).
constexpr std::uint64_t counter_number(std::uint64_t seed, std::uint32_t position, std::uint32_t purpose) noexcept {
  const PhiloxCounter r = philox4x32_10({position, purpose, 0, 0},
                                        {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return (std::uint64_t{r[0]} << 32 | r[1]) >> 11 << 11;
}

constexpr std::uint64_t counter_number(std::uint64_t seed, std::uint32_t position, DrawPurpose purpose) noexcept {
  return counter_number(seed, position, static_cast<std::uint32_t>(purpose));
}

}  // namespace frugal::backend

// Dice: what the synthetic worlds draw from, the same on every platform.
#pragma once

#include <frugal/meter/trace.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace frugal::test {

/// All the randomness of a world; distributions are written out so that every platform draws the same.
class Dice {
 public:
  Dice(std::uint64_t seed, std::uint64_t stream)
      : engine_(seed * 0x9E3779B97F4A7C15U + stream * 0xBF58476D1CE4E5B9U + 1) {}
  double uniform(double low = 0, double high = 1) {
    return low + (high - low) * static_cast<double>(engine_() >> 11U) * 0x1p-53;
  }
  std::uint64_t whole(double low, double high) { return static_cast<std::uint64_t>(uniform(low, high + 1)); }
  bool chance(double p) { return uniform() < p; }
  double exponential(double mean) { return -mean * std::log(1 - uniform()); }
  double normal() { return std::sqrt(-2 * std::log(1 - uniform())) * std::cos(6.283185307179586 * uniform()); }
  /// Median and sigma of the logarithm.
  double lognormal(double median, double sigma) { return median * std::exp(sigma * normal()); }
  std::uint64_t length(double median, double sigma, double least = 1) {
    return static_cast<std::uint64_t>(std::max(least, std::round(lognormal(median, sigma))));
  }
  std::uint64_t hash() { return engine_() >> 1U; }

 private:
  std::mt19937_64 engine_;
};

/// Chained hashes of a prompt: `shared` tokens that belong to `source`, the rest its own.
inline std::vector<std::uint64_t> blocks(Dice& dice, std::uint64_t source, std::uint64_t shared, std::uint64_t prompt) {
  std::vector<std::uint64_t> out;
  for (std::uint64_t end = trace_block_tokens; end <= prompt; end += trace_block_tokens)
    out.push_back(end <= shared ? (source * 0x2545F4914F6CDD1DU + end) >> 1U : dice.hash());
  return out;
}

}  // namespace frugal::test

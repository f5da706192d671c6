#include "model/rope_scaling.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace frugal::model {

std::vector<float> llama3_divisors(const DecoderSpec& spec, const Llama3Scaling& s) {
  std::vector<float> divisors;
  for (std::uint32_t i = 0; i < spec.rope_dims / 2; ++i) {
    const double frequency = std::pow(spec.rope_theta, -2.0 * i / spec.rope_dims);
    const double wavelength = 2 * std::numbers::pi / frequency;
    double divisor = 1;
    if (wavelength > s.original_context / s.low_freq_factor) {
      divisor = s.factor;
    } else if (wavelength >= s.original_context / s.high_freq_factor) {
      const double smooth =
          (s.original_context / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
      divisor = 1 / ((1 - smooth) / s.factor + smooth);
    }
    divisors.push_back(static_cast<float>(divisor));
  }
  return divisors;
}

std::vector<float> yarn_divisors(const DecoderSpec& spec, const YarnScaling& s) {
  const double dims = spec.rope_dims;
  // the pair that turns so many times in the original context
  const auto pair_of = [&](double turns) {
    return dims * std::log(s.original_context / (turns * 2 * std::numbers::pi)) / (2 * std::log(spec.rope_theta));
  };
  double low = pair_of(s.beta_fast), high = pair_of(s.beta_slow);
  if (s.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dims - 1);
  if (low == high) high += 0.001;
  std::vector<float> divisors;
  for (std::uint32_t i = 0; i < spec.rope_dims / 2; ++i) {
    const double stretched = std::clamp((i - low) / (high - low), 0.0, 1.0);
    divisors.push_back(static_cast<float>(1 / (stretched / s.factor + (1 - stretched))));
  }
  return divisors;
}

double yarn_scale(double factor) { return factor <= 1 ? 1.0 : 0.1 * std::log(factor) + 1.0; }

double longrope_scale(double context, double original_context) {
  if (context <= original_context) return 1.0;
  return std::sqrt(1 + std::log(context / original_context) / std::log(original_context));
}

}  // namespace frugal::model

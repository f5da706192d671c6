// RoPE angles as a decoder's description asks for them: position n turns pair i by n * theta^(-2i/d) / divisor_i; and the
// scale of the scores that follow.
// Computed in double, because at position 8191 a float has only three decimals of an angle left.
#pragma once

#include <frugal/model/decoder_spec.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace frugal::backend {

/// [rope_dims / 2]
inline std::vector<double> rope_frequencies(const DecoderSpec& spec) {
  std::vector<double> f(spec.rope_dims / 2);
  for (std::size_t i = 0; i < f.size(); ++i) {
    f[i] = std::pow(spec.rope_theta, -2.0 * static_cast<double>(i) / spec.rope_dims);
    if (i < spec.rope_divisors.size()) f[i] /= static_cast<double>(spec.rope_divisors[i]);
  }
  return f;
}

/// The same of layers that rotate by local_rope_theta; empty where no layer does.
inline std::vector<double> local_rope_frequencies(const DecoderSpec& spec) {
  if (spec.local_rope_theta == 0.0) return {};
  std::vector<double> f(spec.rope_dims / 2);
  for (std::size_t i = 0; i < f.size(); ++i)
    f[i] = std::pow(spec.local_rope_theta, -2.0 * static_cast<double>(i) / spec.rope_dims);
  return f;
}

/// What q k^T is multiplied by.
inline float attention_scale(const DecoderSpec& spec) {
  if (spec.attention_scale != 0.0F) return spec.attention_scale;
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(spec.head_dim)));
}

/// cos and sin [rope_dims / 2] of one position.
inline void rope_angles(std::span<const double> frequencies, std::uint32_t position, std::span<float> cos,
                        std::span<float> sin) {
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = position * frequencies[i];
    cos[i] = static_cast<float>(std::cos(angle));
    sin[i] = static_cast<float>(std::sin(angle));
  }
}

/// The two dimensions of a head that pair i turns.
inline std::pair<std::size_t, std::size_t> rope_pair(const DecoderSpec& spec, std::size_t i) {
  if (spec.rope_layout == RopeLayout::adjacent) return {2 * i, 2 * i + 1};
  return {i, i + spec.rope_dims / 2};
}

}  // namespace frugal::backend

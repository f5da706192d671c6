// How files stretch RoPE beyond the context a model was pre-trained for, as divisors of the base frequencies and a scale
// of cosines and sines (DecoderSpec::rope_divisors, rope_scale).
#pragma once

#include <frugal/model/decoder_spec.hpp>

#include <vector>

namespace frugal::model {

/// Llama 3's bands: frequencies whose wavelength passes context / low are divided by factor, those below context / high
/// stay, the rest blend.
struct Llama3Scaling {
  double factor, low_freq_factor, high_freq_factor, original_context;
};
std::vector<float> llama3_divisors(const DecoderSpec& spec, const Llama3Scaling& scaling);

/// YaRN (Peng et al. 2023): frequencies that turn less than beta_slow times in the original context are divided by
/// factor, those that turn more than beta_fast times stay, the rest blend.
struct YarnScaling {
  double factor = 1, original_context = 0;
  double beta_fast = 32, beta_slow = 1;
  bool truncate = true;  ///< the borders of the blend are whole dimensions
};
std::vector<float> yarn_divisors(const DecoderSpec& spec, const YarnScaling& scaling);
/// YaRN's scale of cosines and sines: 0.1 ln(factor) + 1.
double yarn_scale(double factor);

/// LongRoPE's scale of cosines and sines (Ding et al. 2024): sqrt(1 + ln(context / original) / ln(original)), at least 1.
double longrope_scale(double context, double original_context);

}  // namespace frugal::model

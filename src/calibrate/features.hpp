// The features that frugal measures itself, on prompts, on answers and on token scores, the same when a policy is fitted
// and when it decides. Names start with "prompt.", "answer.", "finish.", "margin." or "logprob.". The work is bounded:
// of longer texts than most_bytes only the beginning is looked at (their length counts whole), and of more scores than
// most_scores an even sample.
#pragma once

#include <frugal/calibrate/outcomes.hpp>
#include <frugal/core/finish.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::calibrate {

inline constexpr std::size_t most_bytes = 1U << 16, most_scores = 1U << 12;

/// Of a prompt's text: its length, lines, and shares of digits and capitals. Linear.
std::vector<Feature> prompt_features(std::string_view text);

/// Of an answer's text: length, lines, digits, how it ends, whether its brackets close, whether it is JSON. Linear.
std::vector<Feature> answer_features(std::string_view text);

/// Of the answer's token scores: quantiles of margins (Gupta et al. 2024) and of log-probabilities. Empty in, empty out.
std::vector<Feature> score_features(std::span<const TokenScore> scores);

/// Of how the answer ended: "finish.length" is 1 where it was cut off.
std::vector<Feature> finish_features(FinishReason reason);

/// True where frugal can measure a feature of this name on a live request.
bool is_measured(std::string_view name);

/// The value of `name`, or none.
std::optional<double> value_of(std::span<const Feature> features, std::string_view name);

}  // namespace frugal::calibrate

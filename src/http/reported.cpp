#include "http/reported.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace frugal::http {

namespace {

Usage openai(const Json& reported, const char* input, const char* output, const char* input_details,
             const char* output_details) {
  Usage u;
  u.input = count(reported, input).value_or(0);
  u.output = count(reported, output).value_or(0);
  const Json& in = member(reported, input_details);
  u.cached_read = std::min(u.input, count(in, "cached_tokens").value_or(0));
  u.cache_write = std::min(u.input - u.cached_read, count(in, "cache_write_tokens").value_or(0));
  u.reasoning = std::min(u.output, count(member(reported, output_details), "reasoning_tokens").value_or(0));
  return u;
}

}  // namespace

Usage completions_usage(const Json& reported) {
  return openai(reported, "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details");
}

Usage responses_usage(const Json& reported) {
  return openai(reported, "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details");
}

Usage messages_usage(const Json& reported) {
  Usage u;
  u.cached_read = count(reported, "cache_read_input_tokens").value_or(0);
  u.cache_write = count(reported, "cache_creation_input_tokens").value_or(0);
  u.input = count(reported, "input_tokens").value_or(0) + u.cached_read + u.cache_write;
  u.cache_write_1h =
      std::min(u.cache_write, count(member(reported, "cache_creation"), "ephemeral_1h_input_tokens").value_or(0));
  u.output = count(reported, "output_tokens").value_or(0);
  u.reasoning = std::min(u.output, count(member(reported, "output_tokens_details"), "thinking_tokens").value_or(0));
  return u;
}

TokenScore score_of(float logprob, std::vector<float> best) {
  TokenScore score{.token = -1, .logprob = logprob};
  std::sort(best.rbegin(), best.rend());
  if (best.size() >= 2) score.margin = std::exp(best[0]) - std::exp(best[1]);
  for (const float p : best) score.top.push_back({.token = -1, .logprob = p});
  return score;
}

void add_scores(const Json& tokens, Delta& out) {
  if (!tokens.is_array()) return;
  for (const Json& token : tokens) {
    const Json& logprob = member(token, "logprob");
    if (!logprob.is_number()) continue;
    std::vector<float> best;
    if (const Json& top = member(token, "top_logprobs"); top.is_array())
      for (const Json& other : top)
        if (const Json& p = member(other, "logprob"); p.is_number()) best.push_back(p.get<float>());
    out.scores.push_back(score_of(logprob.get<float>(), std::move(best)));
  }
}

}  // namespace frugal::http

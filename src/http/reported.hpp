// Usage as each API reports it, in frugal's one form: input includes what was read from and written to a cache, output
// includes reasoning. What contradicts itself is cut to what can be: parts are never larger than their whole.
#pragma once

#include <frugal/core/ledger.hpp>

#include "http/dialect.hpp"

namespace frugal::http {

/// OpenAI's chat and plain completions: {"prompt_tokens", "completion_tokens", and details}.
Usage completions_usage(const Json& reported);
/// OpenAI's responses: {"input_tokens", "output_tokens", and details}.
Usage responses_usage(const Json& reported);
/// Anthropic's: {"input_tokens" without the cache, "cache_read_input_tokens", "cache_creation_input_tokens", ...}.
Usage messages_usage(const Json& reported);

/// OpenAI's form of a list of token scores, {"logprob", "top_logprobs"}; tokens are -1, because a remote vocabulary's ids
/// are not known.
void add_scores(const Json& tokens, Delta& out);
/// The score of one token of which only log-probabilities are known: its own and those of the best ones.
TokenScore score_of(float logprob, std::vector<float> best);

}  // namespace frugal::http

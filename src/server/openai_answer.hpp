// The parts of OpenAI's answers that chat and plain completions share.
#pragma once

#include <frugal/core/finish.hpp>
#include <frugal/text/tokenizer.hpp>

#include <string>
#include <vector>

#include "server/api_error.hpp"
#include "server/dialect.hpp"
#include "server/json.hpp"

namespace frugal::server {

/// How both end with an error.
class OpenAiDialect : public Dialect {
 public:
  std::string error(const ApiError& e, const std::string&) const override { return openai_error(e); }
  std::string error_event(const ApiError& e, const std::string&) const override {
    return "data: " + openai_error(e) + "\n\ndata: [DONE]\n\n";
  }
};

/// {"prompt_tokens", "completion_tokens", "total_tokens", and the details}: of the answer itself, without the attempts
/// that a cascade threw away.
Json openai_usage(const Finish& finish);

/// stop, length or tool_calls.
const char* openai_reason(const Finish& finish, bool called);

/// One event.
std::string sse(const Json& data);

/// The entries of choices[].logprobs.content.
Json logprobs_of(const std::vector<TokenScore>& scores, const Tokenizer& tokenizer);
/// A token's bytes as text; those that are no character become U+FFFD.
std::string token_text(Token token, const Tokenizer& tokenizer);

}  // namespace frugal::server

// An answer as a body of the OpenAI API.
#pragma once

#include "tools/openai_request.hpp"

#include <frugal/core/finish.hpp>
#include <frugal/text/tokenizer.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace frugal::tools {

struct OpenAiAnswer {
  OpenAiKind kind = OpenAiKind::chat_completion;
  std::string id{};          ///< without the kind's own head ("chatcmpl-", "cmpl-")
  std::int64_t created = 0;  ///< seconds since 1970
  bool logprobs = false;     ///< the request asked for them
};

/// The body of a request that was answered. Usage is the answer's whole, cached prompt tokens included and named.
/// `tokenizer` spells the tokens of log-probabilities; null = their texts are left empty.
nlohmann::ordered_json openai_body(const OpenAiAnswer& of, const Answer& answer, const Tokenizer* tokenizer);

/// The status that an HTTP server would give for it: 400, 404, 429, 500 or 503.
int openai_status(Errc code);

/// {"error": {"message", "type", "param", "code"}}; an empty param is null.
nlohmann::ordered_json openai_error_body(const Error& error, const std::string& param);

}  // namespace frugal::tools

#include "http/api.hpp"

#include "http/dialect.hpp"

namespace frugal::http {

const Api& api_of(HttpApi api) {
  switch (api) {
    case HttpApi::anthropic_messages:
      return anthropic_messages();
    case HttpApi::openai_responses:
      return openai_responses();
    case HttpApi::openai_completions:
      return openai_completions();
    case HttpApi::openai_chat:
      break;
  }
  return openai_chat();
}

bool worth_a_retry(long status) { return status == 408 || status == 409 || status == 429 || status >= 500; }

Error error_of_status(long status, const std::string& body, const std::string& endpoint) {
  std::string said, why;
  if (const std::optional<Json> object = object_of(body)) {
    const Json& error = member(*object, "error");
    why = text(error, "code");
    said = error.is_string() ? error.get<std::string>() : text(error, "message");
    if (said.empty()) said = text(*object, "message");
  }
  if (said.empty() && !body.empty()) said = "in words that are not the API's; what came is in Finish::raw only";
  const bool too_long = status == 413 || (status == 400 && why == "context_length_exceeded");
  const bool refused = status == 401 || status == 402 || status == 403;
  if (refused) said = "it refuses the key or the account; what it says may repeat the key, and is in Finish::raw only";
  const Errc code = status == 429                    ? Errc::busy
                    : too_long                       ? Errc::too_large
                    : refused || status == 404       ? Errc::denied
                    : status == 400 || status == 422 ? Errc::invalid_argument
                                                     : Errc::unavailable;
  return Error(code,
               "endpoint " + endpoint + " answered " + std::to_string(status) + (said.empty() ? "" : ": " + said));
}

}  // namespace frugal::http

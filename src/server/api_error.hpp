// ApiError: why a request was not served, and how each API says it.
#pragma once

#include <frugal/core/error.hpp>
#include <frugal/core/finish.hpp>

#include <string>
#include <string_view>

namespace frugal::server {

struct ApiError {
  int status = 500;
  Error error;
  std::string field{};  ///< of the request's body that is at fault, e.g. "messages[0].content"; or empty
  std::string code{};   ///< OpenAI's own short name for it, or empty
  /// A second try cannot mend it: said in a header that the official clients obey.
  bool final = false;
};

/// Thrown while a request is read, caught where it is turned into an answer.
struct Refused {
  ApiError why;
};

[[noreturn]] void refuse(const std::string& field, const std::string& message, Errc code = Errc::invalid_argument);

/// The status that an endpoint's error deserves.
ApiError api_error(const Error& error);
/// The field of the client's body that an endpoint's error is about, or empty. Errors about a request begin with the
/// field's name in Request ("sampling.logit_bias names token ...", "the prompt is empty"); `prompt` is what the API calls
/// the field that the prompt is made of.
std::string field_at_fault(const Error& error, std::string_view prompt);
/// OpenAI's error object: {"error": {"message", "type", "param", "code"}}.
std::string openai_error(const ApiError& error);
/// Anthropic's: {"type": "error", "error": {"type", "message"}, "request_id"}.
std::string anthropic_error(const ApiError& error, const std::string& request_id);

}  // namespace frugal::server

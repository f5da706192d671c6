// A body of the OpenAI API as a Request. What a field asks for and cannot be given is refused by the field's name; only
// fields that do not change the answer are passed over.
#pragma once

#include <frugal/core/error.hpp>
#include <frugal/core/request.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace frugal::tools {

enum class OpenAiKind { chat_completion, completion };

/// What holds where a body does not say.
struct OpenAiDefaults {
  std::uint32_t max_tokens = 0;  ///< 0 = until the context is full; a completion has the API's own 16
  float temperature = 1.0F;      ///< the API's own
};

/// A field that is wrong, and where it stands, e.g. "messages" or "response_format.json_schema".
class FieldError : public Error {
 public:
  FieldError(Errc code, std::string param, const std::string& what)
      : Error(code, param + ": " + what), param_(std::move(param)) {}
  const std::string& param() const noexcept { return param_; }

 private:
  std::string param_;
};

/// The request that a body asks for; `model` is as the body names it, empty where it does not. `body` is the text of a
/// valid JSON object without repeated keys. Throws FieldError.
Request request_of_openai(OpenAiKind kind, std::string_view body, const OpenAiDefaults& defaults);

}  // namespace frugal::tools

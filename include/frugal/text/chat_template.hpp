// ChatTemplate: the Jinja text inside a model file, compiled once and rendered for each conversation, equal to what
// jinja2 (as Hugging Face configures it) renders. Immutable after construction; share between threads.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/request.hpp>
#include <frugal/text/tokenizer.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

/// What a template may read besides the conversation.
struct ChatTemplateContext {
  std::string bos_token{}, eos_token{};
  std::string extra{};  ///< a JSON object of further variables, or empty; Chat::variables go before them
  std::optional<std::chrono::sys_seconds> now{};  ///< what strftime_now prints; none = asking for it is an error
};

/// A conversation as the model reads it, and which bytes of it came from the caller: messages, tools and variables. Pass
/// the ranges on as EncodeOptions::content, so that only the template's own text becomes control tokens.
struct RenderedPrompt {
  std::string text;
  std::vector<TextRange> content;
};

class FRUGAL_API ChatTemplate {
 public:
  /// Throws Error(unsupported) that names line and construct for Jinja we lack, Error(bad_model) with the line for a
  /// syntax error. A filter, test or method that we lack is an error only where a conversation reaches it.
  explicit ChatTemplate(std::string_view source, std::string name = "chat template");
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  /// Renders the prompt. An error names the line: the template's own raise_exception, an undefined name in an
  /// operation, a runaway loop, malformed JSON in tools or arguments, or tools that the template never looked at.
  /// Thread-safe. The work is bounded by a constant plus a multiple of the input's bytes.
  expected<RenderedPrompt> render(const Chat& chat, const ChatTemplateContext& context = {}) const;

  /// ChatML, for models whose file holds no template and whose vocabulary has <|im_start|>.
  static std::string_view chatml() noexcept;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

/// A conversation from JSON: an array of messages, or an object with "messages" and, where wanted, "tools",
/// "add_generation_prompt", "chat_template_kwargs" (the template's variables) and "template_name". Messages are those of
/// the OpenAI chat API: content may be a text, null or a list of text parts; arguments of calls may be JSON text or an
/// object. Keys keep their order and integers all their digits; fields of messages that are not known here reach the
/// template. Throws Error that begins with `origin` and names message and field: bad_file for malformed JSON,
/// invalid_argument for a wrong field, unsupported for parts that are not text.
FRUGAL_API Chat chat_from_json(std::string_view json, const std::string& origin = "chat");

}  // namespace frugal

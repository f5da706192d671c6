// ChatTemplate: the Jinja text inside a model file, compiled once and rendered for each conversation, equal to what
// jinja2 (as Hugging Face configures it) renders. Immutable after construction; share between threads.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/request.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace frugal {

/// What a template may read besides the conversation.
struct ChatTemplateContext {
  std::string bos_token{}, eos_token{};
  std::string extra{};  ///< a JSON object of further variables, or empty (e.g. {"enable_thinking": false})
};

class FRUGAL_API ChatTemplate {
 public:
  /// Throws Error(unsupported) that names line and construct for Jinja we lack, Error(bad_model) with the line for a
  /// syntax error.
  explicit ChatTemplate(std::string_view source, std::string name = "chat template");
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  /// Renders the prompt. An error names the line: the template's own raise_exception, an undefined name in an
  /// operation, a runaway loop, or malformed JSON in tools/arguments. Thread-safe; linear in the output.
  expected<std::string> render(const Chat& chat, const ChatTemplateContext& context = {}) const;

  /// ChatML, for models whose file holds no template and whose vocabulary has <|im_start|>.
  static std::string_view chatml() noexcept;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace frugal

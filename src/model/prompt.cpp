#include <frugal/model/model.hpp>
#include <frugal/model/prompt.hpp>

#include <string>

#include "core/caught.hpp"

namespace frugal {
namespace {

bool has_tools(const Chat& chat) { return !chat.tools.empty() && chat.tools != "[]" && chat.tools != "null"; }

expected<const ChatTemplate*> template_for(const Chat& chat, const Model& model) {
  try {
    if (!chat.template_name.empty()) {
      if (const ChatTemplate* named = model.chat_template(chat.template_name)) return named;
      return unexpected(Errc::invalid_argument,
                        "model " + model.name() + " has no chat template named '" + chat.template_name + "'");
    }
    if (has_tools(chat))
      if (const ChatTemplate* for_tools = model.chat_template("tool_use")) return for_tools;
    if (const ChatTemplate* usual = model.chat_template()) return usual;
  } catch (const Error& error) {  // a template that cannot be compiled
    return unexpected(error);
  }
  return unexpected(Errc::unsupported, "model " + model.name() + " has no chat template: send a RawPrompt");
}

}  // namespace

expected<RenderedPrompt> render_chat(const Chat& chat, const Model& model, const Clock& clock) {
  if (chat.messages.empty()) return unexpected(Errc::invalid_argument, "the conversation has no message");
  const expected<const ChatTemplate*> chosen = template_for(chat, model);
  if (!chosen) return unexpected(chosen.error());
  const Tokenizer* tokenizer = model.tokenizer();
  const auto literal = [&](std::optional<Token> token) {
    return token ? std::string(tokenizer->bytes(*token)) : std::string();
  };
  ChatTemplateContext context;
  if (tokenizer != nullptr) {
    context.bos_token = literal(tokenizer->bos());
    context.eos_token = literal(tokenizer->eos());
  }
  try {
    context.now = clock.calendar_now();
  } catch (...) {
    return unexpected(caught_error(Errc::policy, "the clock"));
  }
  return (*chosen)->render(chat, context);
}

expected<std::vector<Token>> encode_chat(const Chat& chat, const Model& model, const Clock& clock) {
  const Tokenizer* tokenizer = model.tokenizer();
  if (tokenizer == nullptr) {
    const Error* why = model.tokenizer_error();
    return unexpected(Errc::unsupported, "model " + model.name() + " has no tokenizer: send a TokenPrompt" +
                                             (why == nullptr ? std::string() : " (" + why->message() + ")"));
  }
  const expected<RenderedPrompt> prompt = render_chat(chat, model, clock);
  if (!prompt) return unexpected(prompt.error());
  EncodeOptions options;
  options.add_bos = false;  // a template writes its own
  if (!chat.parse_special) options.content = prompt->content;
  return tokenizer->encode(prompt->text, options);
}

expected<std::size_t> count_tokens(const Chat& chat, const Model& model, const Clock& clock) {
  const expected<std::vector<Token>> tokens = encode_chat(chat, model, clock);
  if (!tokens) return unexpected(tokens.error());
  return tokens->size();
}

}  // namespace frugal

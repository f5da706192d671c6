// A conversation as one model reads it: text, token ids, and how many those are. What an Engine does with a Chat before
// it computes anything; for hosts that want to look, count or cut first.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/request.hpp>
#include <frugal/text/chat_template.hpp>

#include <cstddef>
#include <vector>

namespace frugal {

class Model;

/// Renders by Chat::template_name, or by the template that suits the chat. `clock` says today's date to templates that
/// ask. The Error names what is wrong with the chat, or what the model lacks. Thread-safe; linear in the chat.
FRUGAL_API expected<RenderedPrompt> render_chat(const Chat& chat, const Model& model,
                                                const Clock& clock = steady_clock());

/// The prompt's ids: render_chat, then the model's tokenizer. Control tokens come from the template's own text alone,
/// unless Chat::parse_special is set. Thread-safe.
FRUGAL_API expected<std::vector<Token>> encode_chat(const Chat& chat, const Model& model,
                                                    const Clock& clock = steady_clock());

/// How many tokens of prompt the chat costs. Thread-safe; costs as much as encode_chat.
FRUGAL_API expected<std::size_t> count_tokens(const Chat& chat, const Model& model,
                                              const Clock& clock = steady_clock());

}  // namespace frugal

// What can be read of a request before it is tokenised.
#pragma once

#include <frugal/core/request.hpp>

#include <string>
#include <string_view>

namespace frugal {

/// What a policy reads: the last message, or the raw prompt.
inline std::string_view prompt_text(const Request& request) {
  if (const auto* chat = std::get_if<Chat>(&request.prompt))
    return chat->messages.empty() ? std::string_view() : std::string_view(chat->messages.back().content);
  if (const auto* raw = std::get_if<RawPrompt>(&request.prompt)) return raw->text;
  return {};
}

/// The request's label "conversation"; empty = it has none.
inline std::string_view conversation_of(const Request& request) {
  for (const auto& [key, value] : request.labels)
    if (key == "conversation") return value;
  return {};
}

/// All of a prompt's words, a line a message; empty for a prompt of tokens.
inline std::string whole_text(const Request& request) {
  if (const auto* raw = std::get_if<RawPrompt>(&request.prompt)) return raw->text;
  std::string out;
  if (const auto* chat = std::get_if<Chat>(&request.prompt))
    for (const Message& m : chat->messages) out += m.role + ": " + m.content + '\n';
  return out;
}

}  // namespace frugal

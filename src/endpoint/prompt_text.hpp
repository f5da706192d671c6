// The text a policy may read of a request before it is tokenised: the last message, or the raw prompt.
#pragma once

#include <frugal/core/request.hpp>

#include <string_view>

namespace frugal {

inline std::string_view prompt_text(const Request& request) {
  if (const auto* chat = std::get_if<Chat>(&request.prompt))
    return chat->messages.empty() ? std::string_view() : std::string_view(chat->messages.back().content);
  if (const auto* raw = std::get_if<RawPrompt>(&request.prompt)) return raw->text;
  return {};
}

}  // namespace frugal

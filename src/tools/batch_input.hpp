// The lines of a batch file in OpenAI's format: {"custom_id", "method", "url", "body"}.
#pragma once

#include "tools/openai_request.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::tools {

/// Why a line has no answer.
struct BatchFault {
  int status = 0;  ///< as an HTTP server's; 0 = the line is no request at all
  Error error;
  std::string param{};  ///< the field; empty = the line
};

struct BatchLine {
  std::size_t number = 0;                ///< in the file, from 1
  std::optional<std::string> custom_id;  ///< none where the line has none
  std::string id{};                      ///< 16 digits that depend on the line's text alone
  OpenAiKind kind = OpenAiKind::chat_completion;
  Request request{};      ///< with a seed in any case; its id is the custom_id
  bool has_seed = false;  ///< the line's own
  std::optional<BatchFault> fault{};

  /// Not a request: no JSON, no custom_id or one that stands on an earlier line, an unknown method or url.
  bool malformed() const { return fault && fault->status == 0; }
};

/// All lines but blank ones. `origin` names the file in errors. Never throws because of a line.
std::vector<BatchLine> read_batch(std::string_view text, const std::string& origin, const OpenAiDefaults& defaults);

}  // namespace frugal::tools

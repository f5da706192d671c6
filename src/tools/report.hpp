// An Answer as the one JSON object that `frugal generate --json` prints. The field names are an interface: they are
// added to, never renamed.
#pragma once

#include <frugal/core/finish.hpp>
#include <frugal/text/tokenizer.hpp>

#include <string>

namespace frugal::tools {

/// {"ids", "text", "finish", "detail"?, "error"?, "document"?, "model", "seed", "usage", "timing", "ledger", "logprobs"?}, one line.
/// `tokenizer` may be null: the log-probabilities then carry no text.
std::string answer_as_json(const Answer& answer, bool with_logprobs, const Tokenizer* tokenizer);

}  // namespace frugal::tools

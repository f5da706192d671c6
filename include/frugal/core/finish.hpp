// Delta, Finish and what they carry: the answer as it comes, then how it ended and what it cost. Plain values.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/error.hpp>
#include <frugal/core/ids.hpp>
#include <frugal/core/ledger.hpp>
#include <frugal/core/request.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

struct TokenLogprob {
  Token token{};
  float logprob{};  ///< natural logarithm, of the model's own distribution before temperature, penalties and filters
};

/// What is known of one token of the answer, where the request asked for it.
struct TokenScore {
  Token token{};
  float logprob{};                  ///< as TokenLogprob
  float margin{};                   ///< probability of the best token minus that of the second, in [0, 1]
  std::vector<TokenLogprob> top{};  ///< the k most likely, best first
};

/// A piece of the answer. `text` is whole characters (valid UTF-8); it may be empty while a character is incomplete or
/// while a stop text may still begin in what is held back.
struct Delta {
  std::string text;
  std::vector<Token> tokens;
  std::vector<TokenScore> scores;  ///< one a token where the request asked, else empty
  /// All pieces before are taken back: the answer begins anew with this one, which may be empty. Only where the request
  /// said so (Request::allow_revisions).
  bool revises = false;
  /// What the model thought before it answered, where a provider's API tells it apart from the text. A model whose tokens
  /// are drawn here thinks inside `text`, between its own marks.
  std::string reasoning{};

  bool empty() const noexcept { return text.empty() && tokens.empty() && scores.empty() && reasoning.empty(); }
};

enum class FinishReason {
  stop,       ///< the model's end token, or a stop text
  length,     ///< max_tokens or the context is used up
  capped,     ///< an output policy ended it; `detail` names the policy
  cancelled,  ///< by the caller
  deadline,   ///< the request's deadline passed
  refused,    ///< never started: invalid, too large, over budget, or the queue is full; see `error`
  error,      ///< started and failed; see `error`
};

FRUGAL_API std::string_view to_string(FinishReason reason) noexcept;

/// Where the time went. A cascade's times are those its caller saw.
struct Timing {
  Duration queue{};  ///< submit until admission
  Duration ttft{};   ///< submit until the first token the caller sees; 0 = there was none
  Duration e2e{};    ///< submit until the end
  /// Of the time after the first token: what its passes took longer because they computed other requests' prompts as
  /// well (a generation stall: Agrawal et al. 2024, Sarathi-Serve). Estimate, against the mean pass without prompts;
  /// none = unknown.
  std::optional<Duration> stalled{};
  bool in_one_piece = false;  ///< the caller saw nothing until the end (a cascade, an answer that was not streamed)
  /// Tokens that the caller saw at once at first: more than one where a cascade held the beginning back.
  std::uint64_t first_tokens = 1;

  /// Time per output token after the first ones: (e2e - ttft) / (output - first_tokens), of the answer's own tokens
  /// (Finish::answer_usage). Undefined, so none, where no token came later and for an answer in one piece.
  std::optional<Duration> tpot(std::uint64_t output_tokens) const {
    if (output_tokens < 2 || output_tokens <= first_tokens || in_one_piece) return std::nullopt;
    return (e2e - ttft) / static_cast<Duration::rep>(output_tokens - first_tokens);
  }
};

/// How the document of an answer under a constraint came out.
struct DocumentReport {
  bool complete = false;             ///< the text is a whole document; false: something ended it before
  std::uint32_t closing_tokens = 0;  ///< the last so many were chosen so that it ends in time (close_when_short)
  /// Of a complete document, where the constraint could not enforce all that was asked for (keywords left out by
  /// JsonSchemaOptions::lenient): whether it meets that as well. None: nothing was left out, see `complete`.
  std::optional<DocumentVerdict> verdict{};
};

/// How a request ended. Exactly one reaches every stream.
struct Finish {
  FinishReason reason = FinishReason::stop;
  std::string detail{};          ///< the stop text that matched, the policy that capped, or what else happened
  std::optional<Error> error{};  ///< set for refused and error
  std::string model{};           ///< which model's answer this is
  std::uint64_t seed = 0;        ///< the seed that was used
  std::uint64_t vocabulary = 0;  ///< fingerprint of the vocabulary the answer's tokens are of; 0 = unknown
  Usage usage{};                 ///< of all attempts: what is paid for
  Timing timing{};
  Ledger ledger{};
  /// Functions the model asked to be called, where the endpoint tells them apart from text (a provider's API does).
  std::vector<ToolCall> tool_calls{};
  /// Of an answer under a constraint that this process enforced; none = there was none, or nothing is known.
  std::optional<DocumentReport> document{};
  /// Of a provider's answer, as it came, for what the fields above do not hold: the objects in which it reported usage,
  /// one a line; where it failed, the error's body or the event that could not be read, cut at 64 KiB. Empty where the
  /// answer was made in this process. A cascade hands on that of the answer it gives.
  std::string raw{};
  RequestId request{};  ///< the endpoint's number for the request (Call::id); 0 = it gave none
  std::string id{};     ///< Request::id: the caller's own

  /// Of the answer alone: the usage of the accepted attempt, where attempts are known, else `usage`.
  const Usage& answer_usage() const {
    for (auto a = ledger.attempts.rbegin(); a != ledger.attempts.rend(); ++a)
      if (a->accepted) return a->usage;
    return usage;
  }
};

/// A whole answer: all deltas joined, and the finish.
struct Answer {
  std::string text{};
  std::vector<Token> tokens{};
  std::vector<TokenScore> scores{};
  Finish finish{};
  std::string reasoning{};  ///< Delta::reasoning of all deltas

  /// Joins the next piece; one that revises takes the place of all before it.
  FRUGAL_API void add(Delta delta);
};

}  // namespace frugal

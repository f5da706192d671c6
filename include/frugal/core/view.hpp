// Views: all that a policy may see. Spans, texts and numbers that live for the length of the question; never a page, a
// backend or an engine.
//
// A policy that wants to remember something copies it. Plain values; as thread-safe as what they point at.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace frugal {

/// A request before and while it is served.
struct RequestView {
  RequestId id{};
  std::string_view type{};  ///< Request::type
  std::string_view tenant{};
  std::string_view model{};  ///< the name that was asked for, or the one chosen; empty = not chosen yet
  std::string_view text{};   ///< the last message or the raw prompt; empty for a prompt of tokens
  std::span<const Token>
      prompt{};  ///< as the model sees it; empty where it is not tokenised yet (a cascade's first question)
  std::uint32_t max_tokens = 0;  ///< of the request; 0 = until the context is full
  std::optional<TimePoint> deadline{};
  TimePoint now{};
  std::span<const Token>
      draft{};  ///< Request::draft in the answering model's vocabulary; empty = none, or not yet known
  std::string_view request_id{};    ///< Request::id: the caller's own
  std::string_view conversation{};  ///< the request's label "conversation"; empty = it has none
};

/// A running answer.
struct SequenceView {
  const RequestView& request;
  std::span<const Token> output{};       ///< accepted so far, the newest last
  std::string_view text{};               ///< of the output, without a character that is still incomplete
  std::size_t new_text = 0;              ///< bytes of `text` that came with the newest token
  std::span<const TokenScore> scores{};  ///< one a token of the output where they are measured, else empty
  std::uint32_t budget = 0;              ///< most tokens this answer may have, all limits taken together
};

/// A piece of a cached prefix, for one model: the tokens [before, before + tokens) of a prompt that was computed once.
struct PrefixView {
  ModelId model{};
  std::size_t before = 0;        ///< tokens of the prefix that lie ahead of this piece
  std::size_t tokens = 0;        ///< tokens of this piece
  std::size_t bytes = 0;         ///< pages it occupies
  std::uint64_t hits = 0;        ///< requests that have reused it
  double recompute_seconds = 0;  ///< what computing this piece has cost; 0 = not measured
  double inflation = 0;         ///< highest worth of a piece evicted so far: the L of GreedyDual, so that worth can age
  double last_use_seconds = 0;  ///< the clock's time of this use, since its epoch
};

/// One endpoint's answer to a request of a cascade, finished or still running.
struct AttemptView {
  const RequestView& request;
  std::size_t endpoint = 0;              ///< which endpoint answered: its place in the cascade, cheapest first
  std::size_t endpoints = 0;             ///< how many there are
  std::size_t attempt = 0;               ///< how many tries came before this one
  std::string_view text{};               ///< the answer
  std::span<const TokenScore> scores{};  ///< one a token; empty where the endpoint cannot tell
  std::optional<FinishReason> finish{};  ///< none = still running
};

}  // namespace frugal

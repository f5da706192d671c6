// Reader: the events of one answer, as one dialect sends them, made into pieces and into what a Finish tells. Never throws
// for what the other side sends: nonsense becomes an error in progress(), with the bytes beside it.
#pragma once

#include <frugal/core/finish.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "http/dialect.hpp"
#include "http/sse.hpp"

namespace frugal::http {

/// So much of what could not be understood is kept for Finish::raw.
constexpr std::size_t most_raw = std::size_t{64} << 10;

/// What an answer cost, for the ledger. Under the name that the server gave its model, where that has a price; a server's
/// alias or a deployment's name has none, and is booked under HttpOptions::model.
Attempt attempt_of(const Finish& finish, const HttpOptions& options);

/// What is known of an answer so far.
struct Progressed {
  std::optional<FinishReason> reason{};  ///< the API said why it ended
  std::string detail{};
  std::optional<Usage> usage{};  ///< as the API reported it, normalised
  std::string model{};           ///< as the API names it
  std::vector<ToolCall> tool_calls{};
  bool ended = false;            ///< the API's own last event came
  std::optional<Error> error{};  ///< the API ended the stream with an error
  std::string raw{};             ///< for Finish::raw: the first and the last report of usage; of an error, its event
};

class Reader {
 public:
  virtual ~Reader() = default;
  /// The piece of the answer that this event carries; empty where it carries none.
  Delta event(const SseEvent& event);
  const Progressed& progress() const noexcept { return so_far_; }
  /// What is known goes into the fields of `finish` that it is for.
  void tell(Finish& finish) const;

 protected:
  virtual Delta read(const Json& event) = 0;
  /// A report of usage: `usage` is what it says, in frugal's form.
  void note_usage(const Json& reported, const Usage& usage);

  Progressed so_far_{};

 private:
  std::size_t first_report_ = 0;  ///< bytes of it in so_far_.raw
};

}  // namespace frugal::http

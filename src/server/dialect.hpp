// Dialect: one API. Reads a request of its own into frugal's, and writes the answer in its own words, whole or as events.
#pragma once

#include <frugal/core/finish.hpp>
#include <frugal/core/request.hpp>
#include <frugal/server/server.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/answer_splitter.hpp"
#include "server/api_error.hpp"
#include "server/message.hpp"
#include "server/tool_style.hpp"

namespace frugal::server {

/// A model as it is served, with what was found out about it.
struct Served {
  ServedModel model{};
  ToolStyle tools{};
  /// Some of its answers are texts that a model of this process wrote.
  bool local() const { return model.model != nullptr || !model.tiers.empty(); }
};

/// What a dialect needs to know of the server. Immutable while it serves.
struct Catalogue {
  std::vector<Served> models{};
  std::int64_t created = 0;  ///< when the server started, in seconds since 1970

  /// The model of that name, or the first one for no name. Throws Refused with 404.
  const Served& find(const std::optional<std::string>& name) const;
};

/// Writes one answer. Used by one thread at a time; calls come in the order delta, ..., finish.
class Writer {
 public:
  virtual ~Writer() = default;
  /// How long the prompt is, where the endpoint tells; before the first delta.
  virtual void prompt(std::uint64_t /*tokens*/) {}
  /// Appends the events of this piece; nothing where the answer goes out whole.
  virtual void delta(Delta delta, std::string& out) = 0;
  /// Appends the last events, or the whole answer.
  virtual void finish(const Finish& finish, std::string& out) = 0;
  /// An event that says nothing.
  virtual std::string heartbeat() const { return ": waiting\n\n"; }
};

struct Job {
  Request request{};
  const Served* served = nullptr;
  Endpoint* endpoint = nullptr;  ///< who answers
  bool stream = false;
  std::unique_ptr<Writer> writer{};
};

class Dialect {
 public:
  virtual ~Dialect() = default;
  /// Fills the job, which keeps what was known of the request where it throws Refused.
  virtual void read(const Incoming& incoming, const Catalogue& catalogue, Job& job) const = 0;
  /// The field that the prompt is made of.
  virtual const char* prompt_field() const = 0;
  /// The body of an answer that is an error.
  virtual std::string error(const ApiError& error, const std::string& request_id) const = 0;
  /// The last events of a stream that ends with an error.
  virtual std::string error_event(const ApiError& error, const std::string& request_id) const = 0;
};

/// Immutable, shared.
const Dialect& openai_chat();
const Dialect& openai_completions();
const Dialect& openai_embeddings();
const Dialect& anthropic_messages();

/// The answer to /v1/messages/count_tokens. Throws Refused.
std::string anthropic_token_count(const Incoming& incoming, const Catalogue& catalogue);

/// The finish of a request that ended badly, as an error; none where the answer is to be given.
std::optional<ApiError> failure_of(const Finish& finish);

}  // namespace frugal::server

// HttpBatchEndpoint: a provider's batch API as one more Endpoint, for work that can wait a day and then costs half:
// OpenAI's (/files, /batches) and Anthropic's (/messages/batches). Requests are collected, sent as one batch when no
// more come, and answered when the provider has finished it, each in one piece. For run_batch with `in_flight` as large
// as the work; put it into Metered with MeteredOptions::batch, so that its tokens have the batch's price.
//
// What was sent is kept in `state_file`. After a crash, or a kill at any moment, the same requests started again are
// answered from the batch that was sent, and nothing is paid twice. Delete the file when all answers are safe.
//
// Threads: the endpoint owns one thread, which speaks to the provider and calls sinks. start, cancel and load are safe
// from any thread. Destroying the endpoint ends every live request as cancelled; the batch goes on at the provider.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

struct HttpBatchOptions {
  /// api (openai_chat, openai_completions or anthropic_messages), url, model, key, headers and the like. Of its timeouts
  /// `connect` and `gap` hold; its limits on running and waiting requests, its hedging and its clock do not.
  HttpOptions http;
  std::string state_file;                            ///< created where it is not there; empty = a crash loses the batch
  Duration poll = std::chrono::seconds(60);          ///< between two looks at a batch
  Duration linger = std::chrono::seconds(1);         ///< without a new request before a batch is sent
  std::size_t most_requests = 50'000;                ///< in one batch
  std::size_t most_bytes = std::size_t{100} << 20U;  ///< of one batch's bodies
};

struct HttpBatchStats {
  std::size_t batches = 0;  ///< sent by this object
  std::size_t resumed = 0;  ///< requests that were answered from a batch that was sent before
};

class FRUGAL_API HttpBatchEndpoint final : public Endpoint {
 public:
  /// Starts the thread. Throws Error(invalid_argument) that names the option, Error(bad_file) for a state file that is not
  /// one or belongs to another API, URL or model.
  explicit HttpBatchEndpoint(HttpBatchOptions options);
  ~HttpBatchEndpoint() override;

  std::string_view name() const override;
  /// Refused at once: what HttpEndpoint refuses. A deadline that passes and a cancel end the request for its caller; a
  /// batch that was sent is not changed by it, and is paid for.
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  Progress step() override;
  void wake() override;
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;
  HttpBatchStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal

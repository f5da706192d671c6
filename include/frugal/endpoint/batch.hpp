// run_batch: many requests whose answers nobody waits for one by one. Keeps the endpoint full, sends requests that share
// a beginning next to each other so that a prefix cache is used, and lets interactive traffic go first.
//
// The calling thread is lent to the endpoint until the last answer has come. One call at a time per set of requests;
// several batches may run on one endpoint. Cost: a copy of each prompt's text, to sort by.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/request.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace frugal {

class Endpoint;

struct BatchProgress {
  std::size_t done = 0, total = 0;
  std::size_t failed = 0;  ///< of done: ended as refused or error
  Usage usage{};           ///< of all that are done
  Duration elapsed{};
  std::optional<Duration> left{};  ///< estimate, at the pace so far; none before the first answer
};

struct BatchOptions {
  std::size_t in_flight = 64;     ///< requests given to the endpoint at a time; at least 1
  std::int32_t priority = -1000;  ///< taken off every request's own, so that interactive requests go first
  /// Called on the calling thread, one at a time, as answers end; `index` is the request's place.
  std::function<void(std::size_t index, Answer answer)> on_answer{};
  /// Called there after each answer.
  std::function<void(const BatchProgress&)> progress{};
  const Clock* clock = nullptr;  ///< for elapsed and left; null = the process's steady clock
};

/// Answers all of them. A request that is refused as busy is sent again when there is room; every other end is an
/// answer. What on_answer or progress throws is thrown to the caller, after all that still ran was cancelled.
/// Throws Error(invalid_argument) for in_flight = 0, or inside a callback of an endpoint.
FRUGAL_API BatchProgress run_batch(Endpoint& endpoint, std::vector<Request> requests, const BatchOptions& options);

/// The same, with the answers in the order of the requests.
FRUGAL_API std::vector<Answer> run_batch(Endpoint& endpoint, std::vector<Request> requests,
                                         const std::function<void(const BatchProgress&)>& progress = {});

}  // namespace frugal

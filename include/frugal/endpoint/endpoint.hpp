// Endpoint: takes a Request, gives its answer as it comes. Engine is one; cascades, fleets and caches are Endpoints
// over Endpoints.
//
// Threads: start, submit and cancel are safe from any thread. No endpoint starts a thread the host did not ask for:
// whoever waits on a Stream lends its thread to the endpoint through `drive`, or the host runs the endpoint on a thread
// of its own.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/request.hpp>
#include <frugal/endpoint/stream.hpp>

#include <functional>
#include <memory>
#include <span>
#include <string_view>

namespace frugal {

/// Receives one answer. Called by whichever thread drives the endpoint, never by two at once, and on_finish exactly
/// once, last. A sink must not block and must not destroy the endpoint; it may submit to any endpoint and cancel.
class FRUGAL_API Sink {
 public:
  virtual ~Sink();
  /// The prompt as the model sees it, lent for the call: once an attempt, before any delta, by an endpoint that makes
  /// tokens itself. For those who count or hash; does nothing by default.
  virtual void on_prompt(std::span<const Token> /*prompt*/) {}
  virtual void on_delta(Delta delta) = 0;
  virtual void on_finish(Finish finish) = 0;
  /// True while the reader is behind: the sequence then pauses and keeps its pages.
  virtual bool full() const { return false; }
};

/// Names one started request, to cancel it. Copyable; outliving the endpoint is harmless.
class FRUGAL_API Call {
 public:
  Call() = default;
  explicit Call(std::function<void()> cancel) : cancel_(std::move(cancel)) {}
  /// Ends the request with FinishReason::cancelled within one step. Idempotent; safe from any thread.
  void cancel() const {
    if (cancel_) cancel_();
  }

 private:
  std::function<void()> cancel_;
};

class FRUGAL_API Endpoint {
 public:
  virtual ~Endpoint();
  virtual std::string_view name() const = 0;

  /// Begins a request; the sink hears of everything that follows, a refusal included (possibly before this returns).
  /// Never throws because of the request.
  virtual Call start(Request request, std::shared_ptr<Sink> sink) = 0;

  /// One unit of work with the calling thread. False = nothing to do at the moment, or another thread is at it.
  virtual bool step() = 0;

  /// Lends the calling thread until `until()` is true or there is nothing to do. `until` is called often, under no lock
  /// of the endpoint's. The default repeats step(); an endpoint that can sleep until something changes overrides it.
  virtual void drive(const std::function<bool()>& until);

  /// The pull form: a stream to read deltas from. The endpoint must outlive the stream.
  Stream submit(Request request);
  /// The callback form: on_delta for each piece, then on_finish once, on the driving thread.
  Call submit(Request request, std::function<void(Delta)> on_delta, std::function<void(Finish)> on_finish);
  /// Submits and waits for the whole answer.
  Answer run(Request request);
};

}  // namespace frugal

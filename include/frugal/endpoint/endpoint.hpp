// Endpoint: takes a Request, gives its answer as it comes. Engine is one; cascades, fleets and caches are Endpoints
// over Endpoints.
//
// Threads: start, submit, cancel, load, watch and wake are safe from any thread. No endpoint starts a thread the host
// did not ask for: whoever waits on a Stream lends its thread to the endpoint through `drive`, or the host runs the
// endpoint on a thread of its own. A thread that has nothing to do sleeps; nothing polls.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/request.hpp>
#include <frugal/endpoint/stream.hpp>
#include <frugal/endpoint/waker.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

/// Receives one answer. Called by whichever thread drives the endpoint, never by two at once, and on_finish exactly
/// once, last. A sink must not block and must not destroy the endpoint; it may submit to any endpoint and cancel. It
/// may throw anything: that costs its own answer only.
class FRUGAL_API Sink {
 public:
  virtual ~Sink();
  /// The prompt as the model sees it, lent for the call: once an attempt, before any delta, by an endpoint that makes
  /// tokens itself. For sinks that count or hash; does nothing by default. To decline the request, throw an Error: it
  /// ends as refused with that error. Any other exception ends it as cancelled, as one from on_delta does.
  virtual void on_prompt(std::span<const Token> /*prompt*/) {}
  virtual void on_delta(Delta delta) = 0;
  virtual void on_finish(Finish finish) = 0;
  /// True while the reader is behind: the sequence then pauses and keeps its pages. Call Endpoint::wake() when there is
  /// room again.
  virtual bool full() const { return false; }
};

/// Names one started request, to cancel it. Copyable; may outlive the endpoint.
class FRUGAL_API Call {
 public:
  Call() = default;
  explicit Call(std::function<void()> cancel, RequestId id = {}) : cancel_(std::move(cancel)), id_(id) {}
  /// Ends the request with FinishReason::cancelled within one step. Idempotent; safe from any thread.
  void cancel() const {
    if (cancel_) cancel_();
  }
  /// The endpoint's number for the request: what its logs and observers say. 0 = it gives none.
  RequestId id() const noexcept { return id_; }

 private:
  std::function<void()> cancel_;
  RequestId id_{};
};

/// What one step() came to.
enum class Progress {
  worked,     ///< something moved: call again
  elsewhere,  ///< another thread is in a step
  waiting,    ///< requests are live, but all of them wait: for a reader, for a remote answer, for another thread
  idle,       ///< no request is live
};

/// How busy an endpoint is, for load balancing and readiness. None = the endpoint cannot tell.
struct Load {
  std::optional<std::uint32_t> running{}, waiting{};
  std::optional<std::uint64_t> free_tokens{};  ///< tokens of prompt and answer for which there is room right now
  bool accepting = true;                       ///< false = start() refuses everything (shut down)
};

class FRUGAL_API Endpoint {
 public:
  Endpoint();
  virtual ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  virtual std::string_view name() const = 0;

  /// Begins a request; the sink hears of everything that follows, a refusal included (possibly before this returns).
  /// Never throws because of the request.
  virtual Call start(Request request, std::shared_ptr<Sink> sink) = 0;

  /// One unit of work with the calling thread.
  virtual Progress step() = 0;

  /// The waker hears when step() may do something again after it said elsewhere, waiting or idle. `every_step`: also
  /// after each step of another thread. Pair with unwatch(). A composite passes both on to the endpoints it is made of.
  virtual void watch(Waker& waker, bool every_step = false);
  virtual void unwatch(Waker& waker);
  /// Something changed that the endpoint cannot see: a sink that was full has room, a clock of the host's jumped.
  virtual void wake();
  /// When step() has to be called even if no wake comes (a request's deadline), on the steady clock; none = never.
  virtual std::optional<TimePoint> next_deadline() const;

  /// Current at any time, also before the first step.
  virtual Load load() const;
  /// The models that may answer a request whose Request::model is `model`; empty = it would be refused, or the endpoint
  /// cannot tell.
  virtual std::vector<std::string> may_answer(std::string_view model) const;

  /// Lends the calling thread until `until()` is true or no request is live; sleeps while there is nothing to do.
  /// `until` is called after every step, whichever thread made it, under no lock of the endpoint's. Throws Error
  /// (invalid_argument) inside a callback of an endpoint, which would wait for itself.
  void drive(const std::function<bool()>& until);

  /// The pull form: a stream to read deltas from. Dropping the stream cancels the request.
  [[nodiscard]] Stream submit(Request request);
  /// The callback form: on_delta for each piece, then on_finish once, on the driving thread.
  Call submit(Request request, std::function<void(Delta)> on_delta, std::function<void(Finish)> on_finish);
  /// Submits and waits for the whole answer. Refused inside a callback, which would wait for itself.
  Answer run(Request request);

 protected:
  /// For destructors of endpoints: whoever sits in drive() or in a Stream leaves, and from now on every EndpointRef
  /// finds nothing, or `heir`. Returns when the last one has left. Idempotent.
  void retire(const Endpoint* heir = nullptr);
  Watchers& watchers() const noexcept;

 private:
  friend class EndpointRef;
  friend class Stream;
  struct Lifeline;
  std::shared_ptr<Lifeline> lifeline_;
};

/// A handle on an endpoint that may outlive it. Composites and streams hold these, so that every order of destruction is
/// safe. Copyable; safe from any thread.
class FRUGAL_API EndpointRef {
 public:
  explicit EndpointRef(const Endpoint& endpoint);
  /// Keeps the endpoint from being destroyed while it lives. Tests false where the endpoint is gone.
  class FRUGAL_API Visit {
   public:
    explicit Visit(std::shared_ptr<Endpoint::Lifeline> lifeline);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    explicit operator bool() const noexcept { return endpoint_ != nullptr; }
    Endpoint* operator->() const noexcept { return endpoint_; }

   private:
    friend class Stream;
    std::shared_ptr<Endpoint::Lifeline> lifeline_;
    Endpoint* endpoint_;
  };
  Visit enter() const { return Visit(lifeline_); }
  /// Endpoint::start; refused with Errc::unavailable where the endpoint is gone. An exception becomes a Finish.
  Call start(Request request, const std::shared_ptr<Sink>& sink) const;

 private:
  friend class Stream;
  std::shared_ptr<Endpoint::Lifeline> lifeline_;
};

}  // namespace frugal

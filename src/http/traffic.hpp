// Traffic: the thread of an HttpEndpoint and what it does: begins tries, lets curl move bytes, ends what is done, late or
// cancelled, and sleeps in between. What is wrong with one request, memory that does not suffice included, ends that
// request only.
//
// Threads: the public functions are safe from any thread. Sinks are called on the thread of its own.
#pragma once

#include <curl/curl.h>

#include <frugal/core/clock.hpp>
#include <frugal/core/ids.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "http/alarms.hpp"
#include "http/errands.hpp"
#include "http/hedging.hpp"
#include "http/rate_limits.hpp"
#include "http/transfer.hpp"
#include "http/wire.hpp"

namespace frugal::http {

class Traffic {
 public:
  using Held = std::shared_ptr<Transfer>;

  /// Starts the thread. Throws Error(unavailable or out_of_memory).
  Traffic(const HttpOptions& options, Watchers& watchers);
  ~Traffic();
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  enum class Room { free, full, closed };
  struct Ticket {
    RequestId id;
    Room room;
  };
  /// A number for the next request, and whether there is room for it.
  Ticket ticket();
  /// From here on the transfer gets its Finish. False = too late, it was stopped. Where memory does not suffice this
  /// throws, and nothing has happened.
  bool enqueue(const Held& transfer);
  /// Something was cancelled, a reader has room again, or the clock has jumped.
  void wake() noexcept;
  /// Ends every live request as cancelled, joins the thread, and does what callbacks left. Idempotent.
  void stop();
  /// Work that a callback left for after a step; false = there is none.
  bool run_errand() { return errands_.run(); }

  bool idle() const;
  Load load() const;
  HttpStats stats() const;

 private:
  struct Orders {
    std::list<Held> arrived{};
    bool stop = false;
    bool woken = false;
  };
  void run();
  bool turn();
  Orders take_orders();
  void begin_due(TimePoint now);
  void begin(const Held& transfer, TimePoint now);
  void listen_to(const Held& transfer);
  void first_byte(const Held& transfer);
  void hedge(const Held& slow, TimePoint now);
  void drop_losers() noexcept;
  void drop(const Held& loser, bool paid) noexcept;
  void end_done(TimePoint now);
  void end_try(const Held& transfer, CURLcode result, TimePoint now);
  void end_cancelled(TimePoint now);
  void end_late(TimePoint now);
  void give_up(const Held& transfer, TimePoint now);
  void resume_paused();
  void end_as(const Held& transfer, FinishReason reason, std::optional<Error> error, TimePoint now) noexcept;
  void finish(const Held& transfer, Finish end) noexcept;
  void note_end(const Transfer& transfer, const Finish& end) const noexcept;
  void leave_wire(const Held& transfer) noexcept;
  void watch_clock(const Held& transfer) noexcept;
  void set_lost_alarms() noexcept;
  std::chrono::milliseconds time_to_sleep(TimePoint now) const;
  void end_everything() noexcept;
  bool may_retry() const;
  TimePoint now() const { return clock_.now(); }

  const HttpOptions& options_;
  const Clock& clock_;
  Watchers& watchers_;
  const std::string who_;
  Wire wire_;

  mutable std::mutex mutex_;  // guards what follows, up to the blank line
  std::list<Held> inbox_;
  bool stopping_ = false, woken_ = false;
  std::size_t live_ = 0, on_wire_ = 0;
  std::uint64_t last_id_ = 0;
  HttpStats stats_;

  Errands errands_;

  // The thread's own.
  std::list<Held> waiting_;  // for a place on the wire, or for the time of their next try
  std::unordered_map<CURL*, Held> running_;
  Alarms<Held> alarms_;
  bool alarms_lost_ = false;  // there was no memory for one
  RateLimits limits_;
  TimePoint held_until_{};  // what waits is held back by the limits until then; max = until an answer comes
  Hedging hedging_;
  bool losers_ = false;  // a first byte decided a race in this turn
  std::uint64_t jitter_;

  std::thread thread_;
};

}  // namespace frugal::http

// BatchCourier: the thread of an HttpBatchEndpoint: collects requests, sends batches, looks after them, and hands out
// what comes back.
//
// Threads: the public functions are safe from any thread. Sinks are called on the thread of its own.
#pragma once

#include <frugal/endpoint/endpoint.hpp>
#include <frugal/http/batch_endpoint.hpp>

#include <atomic>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "endpoint/guarded_sink.hpp"
#include "http/batch_api.hpp"
#include "http/batch_state.hpp"
#include "http/errands.hpp"
#include "http/stop.hpp"

namespace frugal::http {

/// One request and where its answer goes.
struct BatchEntry {
  BatchEntry(Request r, std::shared_ptr<Sink> sink, const LogSink& log, RequestId number, std::string b);

  Request request;
  std::shared_ptr<GuardedSink> sink;
  RequestId id;
  std::string body, hash;  ///< as the provider gets it; equal bodies have equal hashes
  TimePoint submitted;
  std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
};

/// The provider has understood, and will not.
inline bool is_final(const Error& error) {
  return error.code() == Errc::invalid_argument || error.code() == Errc::too_large;
}

class BatchCourier {
 public:
  using Held = std::shared_ptr<BatchEntry>;

  /// Throws as HttpBatchEndpoint's constructor.
  BatchCourier(const HttpBatchOptions& options, Watchers& watchers);
  ~BatchCourier() { stop(); }
  BatchCourier(const BatchCourier&) = delete;
  BatchCourier& operator=(const BatchCourier&) = delete;

  RequestId next_id();
  /// False = too late. Where memory does not suffice this throws, and nothing has happened.
  bool enqueue(const Held& entry);
  void wake() noexcept;
  void stop();
  bool run_errand() { return errands_.run(); }
  bool idle() const;
  Load load() const;
  HttpBatchStats stats() const;

 private:
  struct Going {
    SentBatch* sent;
    std::unordered_map<std::string, Held> asked{};                ///< by item
    std::unordered_multimap<std::string, std::string> untaken{};  ///< items that nobody asks for, by their hash
    TimePoint next_look{};
    std::optional<Error> doubt{};  ///< why it is not known whether it arrived
  };
  void run();
  void turn(TimePoint now);
  void place(const Held& entry, TimePoint now);
  void end_late(TimePoint now);
  void send_due(TimePoint now);
  void send(std::vector<Held> chunk, TimePoint now);
  void look_after(Going& batch, TimePoint now);
  bool find(Going& batch);
  bool read_results(Going& batch, const BatchLook& look);
  void take(Going& batch, const BatchResult& result, std::string_view line);
  void fail_all(Going& batch, const Error& error);
  void forget(Going& batch);
  void save() noexcept;
  void answer(const Held& entry, const std::vector<SseEvent>& events);
  void end_as(const Held& entry, FinishReason reason, std::optional<Error> error, std::string_view raw = {}) noexcept;
  void finish(const Held& entry, Finish end) noexcept;
  Finish base_of(const BatchEntry& entry) const;
  std::optional<TimePoint> next_turn() const;
  void end_everything() noexcept;
  void note(const std::string& line) const;

  const HttpBatchOptions& options_;
  const BatchApi* const api_;
  Watchers& watchers_;
  const std::string who_;
  BatchState state_;
  Stop stopped_;

  mutable std::mutex mutex_;  // guards what follows, up to the blank line
  std::condition_variable news_;
  std::list<Held> inbox_;
  bool woken_ = false;
  std::size_t live_ = 0, sent_ = 0;
  std::uint64_t last_id_ = 0;
  HttpBatchStats stats_;

  // The thread's own.
  std::list<Held> pending_;
  std::size_t pending_bytes_ = 0;
  TimePoint last_arrival_{};
  std::list<Going> going_;
  Errands errands_;

  std::thread thread_;
};

}  // namespace frugal::http

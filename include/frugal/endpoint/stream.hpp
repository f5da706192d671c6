// Stream: the reader's end of one answer. Bounded: at Request::stream_capacity unread deltas the sequence pauses,
// nothing is lost.
//
// One reader thread at a time; `cancel` from any thread. Destroying an unfinished stream cancels its request. A stream
// may outlive its endpoint: the request then has ended.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/finish.hpp>

#include <memory>
#include <optional>

namespace frugal {

class Endpoint;
class Call;

class FRUGAL_API Stream {
 public:
  /// The queue that a stream shares with its endpoint; opaque.
  struct Channel;

  Stream(Endpoint& endpoint, std::shared_ptr<Channel> channel, Call call);
  ~Stream();
  Stream(Stream&&) noexcept;  ///< a stream that was moved from has ended, as an error
  Stream& operator=(Stream&&) noexcept;

  /// Waits for the next piece, lending this thread to the endpoint meanwhile; none once the answer has ended. Throws
  /// Error(invalid_argument) where it would have to wait inside a callback of an endpoint: it would wait for itself.
  std::optional<Delta> next();
  /// The same for at most so long, and one step; none also when the time is up: done() tells which.
  std::optional<Delta> next_for(Duration most);
  /// The next piece if one is ready; never waits and never computes.
  std::optional<Delta> try_next();
  /// True once the answer has ended and every delta was read.
  bool done() const;
  /// Reads the rest and waits for the end. The answer holds what was read by this call, not what next() gave before.
  Answer wait();
  /// How it ended; none while it runs.
  std::optional<Finish> finish() const;
  void cancel();
  /// The endpoint's number for this request (Call::id).
  RequestId id() const;

 private:
  struct State;
  std::optional<Delta> next_until(std::optional<TimePoint> last);
  std::unique_ptr<State> state_;
};

}  // namespace frugal

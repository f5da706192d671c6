// Stream: the reader's end of one answer. Bounded: at Request::stream_capacity unread deltas the sequence pauses,
// nothing is lost.
//
// One reader thread at a time; `cancel` from any thread. Destroying an unfinished stream cancels its request.
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
  /// The shared queue behind a stream; opaque.
  struct Channel;

  Stream(Endpoint& endpoint, std::shared_ptr<Channel> channel, Call call);
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  /// Waits for the next piece, lending this thread to the endpoint meanwhile; none once the answer has ended.
  std::optional<Delta> next();
  /// The next piece if one is ready; never waits and never computes.
  std::optional<Delta> try_next();
  /// True once the answer has ended and every delta was read.
  bool done() const;
  /// Reads the rest and waits for the end. The answer holds what was read by this call, not what next() gave before.
  Answer wait();
  /// How it ended; none while it runs.
  std::optional<Finish> finish() const;
  void cancel();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace frugal

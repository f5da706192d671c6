// Reading an answer: pop what is there, else lend the thread to the endpoint until something is.
#include <frugal/endpoint/stream.hpp>

#include <utility>

#include "endpoint/channel.hpp"
#include "endpoint/lending.hpp"
#include "endpoint/lifeline.hpp"
#include "endpoint/step_scope.hpp"

namespace frugal {

struct Stream::State {
  EndpointRef endpoint;
  std::shared_ptr<Channel> channel;
  Call call;
};

Stream::Stream(Endpoint& endpoint, std::shared_ptr<Channel> channel, Call call)
    : state_(std::make_unique<State>(State{EndpointRef(endpoint), std::move(channel), std::move(call)})) {}

Stream::Stream(Stream&&) noexcept = default;

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this != &other) {
    cancel();
    state_ = std::move(other.state_);
  }
  return *this;
}

Stream::~Stream() { cancel(); }

void Stream::cancel() {
  if (state_ && !state_->channel->ended()) state_->call.cancel();
}

RequestId Stream::id() const { return state_ ? state_->call.id() : RequestId{}; }

std::optional<Delta> Stream::try_next() {
  if (!state_) return std::nullopt;
  Channel::Popped popped = state_->channel->pop();
  if (popped.was_full) {
    if (const EndpointRef::Visit visit = state_->endpoint.enter()) visit->wake();
  }
  return std::move(popped.delta);
}

namespace {

Finish left_alone() {
  Finish end;
  end.reason = FinishReason::error;
  end.error = Error(Errc::unavailable, "the endpoint was destroyed before the answer ended");
  return end;
}

}  // namespace

std::optional<Delta> Stream::next_until(std::optional<TimePoint> last) {
  if (!state_) return std::nullopt;
  Channel& channel = *state_->channel;
  if (channel.ready()) return try_next();
  refuse_inside_step("Stream::next");
  Waker waker;
  const std::function<bool()> ready = [&channel] { return channel.ready(); };
  channel.set_reader(&waker);
  struct Reading {
    Channel& channel;
    ~Reading() { channel.set_reader(nullptr); }
  } reading{channel};
  while (!ready() && !(last && steady_clock().now() >= *last)) {
    const EndpointRef::Visit visit = state_->endpoint.enter();
    if (!visit) {
      channel.on_finish(left_alone());
      break;
    }
    Endpoint::Lifeline& line = *visit.lifeline_;
    line.inside->add(waker);
    struct Inside {
      Endpoint::Lifeline& line;
      Waker& waker;
      ~Inside() { line.inside->remove(waker); }
    } inside{line, waker};
    lend_thread(*visit.endpoint_, line.gone, {.waker = waker, .until = ready, .last = last});
  }
  return try_next();
}

std::optional<Delta> Stream::next() { return next_until(std::nullopt); }

std::optional<Delta> Stream::next_for(Duration most) {
  const TimePoint now = steady_clock().now();
  return next_until(most < TimePoint::max() - now ? std::optional(now + most) : std::nullopt);
}

bool Stream::done() const { return !state_ || state_->channel->done(); }

std::optional<Finish> Stream::finish() const { return state_ ? state_->channel->finish() : std::nullopt; }

Answer Stream::wait() {
  Answer answer;
  while (std::optional<Delta> delta = next()) answer.add(std::move(*delta));
  if (std::optional<Finish> end = finish()) {
    answer.finish = std::move(*end);
  } else {
    answer.finish.reason = FinishReason::error;
    answer.finish.error = Error(Errc::invalid_argument, "Stream::wait on a stream that was moved from");
  }
  return answer;
}

}  // namespace frugal

// The ways to ask an endpoint, all over its one primitive, start(); and how a thread is lent to it.
#include <frugal/endpoint/endpoint.hpp>

#include <algorithm>
#include <utility>

#include "core/caught.hpp"
#include "endpoint/channel.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/lending.hpp"
#include "endpoint/lifeline.hpp"
#include "endpoint/refusal.hpp"
#include "endpoint/step_scope.hpp"

namespace frugal {

Sink::~Sink() = default;

Endpoint::Endpoint() : lifeline_(std::make_shared<Lifeline>()) { lifeline_->endpoint = this; }
Endpoint::~Endpoint() { retire(); }

void Endpoint::retire(const Endpoint* heir) {
  Lifeline& line = *lifeline_;
  std::unique_lock lock(line.mutex);
  if (heir != nullptr && line.endpoint != nullptr) line.heir = heir->lifeline_;
  line.endpoint = nullptr;
  line.gone.store(true);
  lock.unlock();
  line.inside->wake_all();
  line.watchers->wake_all();
  lock.lock();
  line.left.wait(lock, [&] { return line.visitors == 0; });
}

Watchers& Endpoint::watchers() const noexcept { return *lifeline_->watchers; }

void Endpoint::watch(Waker& waker, bool every_step) { watchers().add(waker, every_step); }
void Endpoint::unwatch(Waker& waker) { watchers().remove(waker); }
void Endpoint::wake() { watchers().call_one(); }
std::optional<TimePoint> Endpoint::next_deadline() const { return std::nullopt; }
Load Endpoint::load() const { return {}; }
std::vector<std::string> Endpoint::may_answer(std::string_view) const { return {}; }

namespace {

std::optional<TimePoint> earlier(std::optional<TimePoint> a, std::optional<TimePoint> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

}  // namespace

void lend_thread(Endpoint& endpoint, const std::atomic<bool>& gone, const Lending& how) {
  Waker& waker = how.waker;
  endpoint.watch(waker, how.every_step);
  struct Here {
    Endpoint& endpoint;
    Waker& waker;
    Waker* outer = std::exchange(waker_of_this_thread(), &waker);
    ~Here() {
      waker_of_this_thread() = outer;
      endpoint.unwatch(waker);
    }
  } here{endpoint, waker};
  for (;;) {
    const std::uint64_t seen = waker.count();
    if (how.until() || gone.load()) return;
    if (how.last && steady_clock().now() >= *how.last) return;
    const Progress progress = endpoint.step();
    if (progress == Progress::worked) continue;
    if (progress == Progress::idle && how.leave_when_idle) return;
    waker.wait(seen, earlier(how.last, endpoint.next_deadline()));
  }
}

void Endpoint::drive(const std::function<bool()>& until) {
  refuse_inside_step("Endpoint::drive");
  const EndpointRef::Visit visit(lifeline_);
  if (!visit) return;
  Waker waker;
  lifeline_->inside->add(waker);
  struct Inside {
    Lifeline& line;
    Waker& waker;
    ~Inside() { line.inside->remove(waker); }
  } inside{*lifeline_, waker};
  lend_thread(*this, lifeline_->gone, {.waker = waker, .until = until, .every_step = true, .leave_when_idle = true});
}

EndpointRef::EndpointRef(const Endpoint& endpoint) : lifeline_(endpoint.lifeline_) {}

EndpointRef::Visit::Visit(std::shared_ptr<Endpoint::Lifeline> lifeline)
    : lifeline_(std::move(lifeline)), endpoint_(nullptr) {
  while (lifeline_ != nullptr) {
    std::shared_ptr<Endpoint::Lifeline> heir;
    {
      const std::lock_guard lock(lifeline_->mutex);
      if (lifeline_->endpoint != nullptr) {
        endpoint_ = lifeline_->endpoint;
        ++lifeline_->visitors;
        return;
      }
      heir = lifeline_->heir;
    }
    lifeline_ = std::move(heir);
  }
}

EndpointRef::Visit::~Visit() {
  if (endpoint_ == nullptr) return;
  const std::lock_guard lock(lifeline_->mutex);
  if (--lifeline_->visitors == 0) lifeline_->left.notify_all();
}

Call EndpointRef::start(Request request, const std::shared_ptr<Sink>& sink) const {
  Finish end;
  end.reason = FinishReason::refused;
  try {
    end.model = request.model;
    end.id = request.id;
    if (const Visit visit = enter()) return visit->start(std::move(request), sink);
    end.error = Error(Errc::unavailable, "the endpoint has been destroyed");
  } catch (...) {
    end.error = caught_error(Errc::internal, "Endpoint::start threw");
  }
  sink->on_finish(std::move(end));
  return {};
}

Stream Endpoint::submit(Request request) {
  auto channel = std::make_shared<Stream::Channel>(request.stream_capacity);
  Call call = EndpointRef(*this).start(std::move(request), channel);
  return Stream(*this, std::move(channel), std::move(call));
}

namespace {

struct CallbackSink final : Sink {
  CallbackSink(std::function<void(Delta)> d, std::function<void(Finish)> f)
      : delta(std::move(d)), finish(std::move(f)) {}
  void on_delta(Delta d) override {
    if (delta) delta(std::move(d));
  }
  void on_finish(Finish f) override {
    if (finish) finish(std::move(f));
  }
  std::function<void(Delta)> delta;
  std::function<void(Finish)> finish;
};

}  // namespace

Call Endpoint::submit(Request request, std::function<void(Delta)> on_delta, std::function<void(Finish)> on_finish) {
  auto callbacks = std::make_shared<CallbackSink>(std::move(on_delta), std::move(on_finish));
  return EndpointRef(*this).start(std::move(request), std::make_shared<GuardedSink>(std::move(callbacks)));
}

Answer Endpoint::run(Request request) {
  try {
    refuse_inside_step("Endpoint::run");
  } catch (const Error& error) {
    Answer refused;
    refused.finish = refusal(error, request.model);
    refused.finish.id = request.id;
    return refused;
  }
  return submit(std::move(request)).wait();
}

}  // namespace frugal

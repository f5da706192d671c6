// HandEndpoint: an endpoint whose answers a test gives by hand, from any thread, to see what a server makes of them.
#pragma once

#include <frugal/endpoint/endpoint.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace frugal::testing {

class HandEndpoint final : public Endpoint {
 public:
  std::string_view name() const override { return "hand"; }
  Progress step() override { return Progress::waiting; }
  Load load() const override { return {.accepting = accepting}; }

  Call start(Request request, std::shared_ptr<Sink> sink) override {
    if (throws) throw 42;
    if (refuses != Errc{}) {
      Finish end;
      end.reason = FinishReason::refused;
      end.error = Error(refuses, "refused by the endpoint");
      sink->on_finish(std::move(end));
      return {};
    }
    const std::lock_guard lock(mutex_);
    const std::size_t number = jobs_.size();
    jobs_.push_back({std::move(request), std::move(sink)});
    changed_.notify_all();
    return Call([this, number] { cancel(number); });
  }

  /// The n-th request, once it has come.
  Request request(std::size_t n) {
    std::unique_lock lock(mutex_);
    wait_for(lock, n);
    return jobs_.at(n).request;
  }
  /// False where the reader is behind.
  bool say(std::size_t n, std::string text) {
    const std::shared_ptr<Sink> sink = sink_of(n);
    sink->on_delta({std::move(text), {1}, {}});
    return !sink->full();
  }
  void think(std::size_t n, std::string thought) {
    Delta delta;
    delta.reasoning = std::move(thought);
    sink_of(n)->on_delta(std::move(delta));
  }
  bool full(std::size_t n) { return sink_of(n)->full(); }
  void end(std::size_t n, FinishReason reason = FinishReason::stop, std::uint64_t output = 2) {
    const std::shared_ptr<Sink> sink = sink_of(n);
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(jobs_[n].ended, true)) return;
    }
    Finish end;
    end.reason = reason;
    end.usage = {.input = 5, .cached_read = 3, .output = output};
    sink->on_finish(std::move(end));
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  bool cancelled_within(std::size_t n, std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, most, [&] { return jobs_.size() > n && jobs_[n].cancelled; });
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return jobs_.size();
  }

  Errc refuses{};
  bool throws = false;
  bool accepting = true;

 private:
  struct Job {
    Request request;
    std::shared_ptr<Sink> sink;
    bool cancelled = false, ended = false;
  };
  void wait_for(std::unique_lock<std::mutex>& lock, std::size_t n) {
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [&] { return jobs_.size() > n; }))
      throw Error(Errc::internal, "the request did not come");
  }
  std::shared_ptr<Sink> sink_of(std::size_t n) {
    std::unique_lock lock(mutex_);
    wait_for(lock, n);
    return jobs_[n].sink;
  }
  void cancel(std::size_t n) {
    {
      const std::lock_guard lock(mutex_);
      jobs_[n].cancelled = true;
      changed_.notify_all();
    }
    end(n, FinishReason::cancelled);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Job> jobs_;
};

}  // namespace frugal::testing

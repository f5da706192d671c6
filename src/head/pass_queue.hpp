// PassQueue: jobs that wait for a forward pass, and whose thread makes it. What the endpoints of this room have in common.
//
// Threads: all members are safe from any thread; one thread at a time makes a pass.
#pragma once

#include <frugal/core/error.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/endpoint/endpoint.hpp>

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/caught.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/refusal.hpp"
#include "endpoint/step_scope.hpp"
#include "head/states.hpp"

namespace frugal::head {

/// What every request has, whatever is made of it.
struct PassRequest {
  std::shared_ptr<GuardedSink> sink{};
  RequestId id{};
  std::string caller_id{};
  std::optional<TimePoint> deadline{};
  TimePoint submitted{}, taken{};
  std::atomic<bool> cancelled{false};

  /// Why it has to end before its pass, or none.
  std::optional<FinishReason> over(TimePoint now) const {
    if (cancelled.load()) return FinishReason::cancelled;
    if (deadline && now >= *deadline) return FinishReason::deadline;
    return std::nullopt;
  }
  /// Shows the sink the prompt. Throws where the sink declines; another exception of its cancels the request.
  void show(std::span<const Token> prompt) {
    try {
      sink->on_prompt(prompt);
    } catch (const Error&) {
      throw;
    } catch (...) {
      cancelled.store(true);
    }
  }
  /// Gives the answer, in one piece.
  void answer(Delta delta, Finish end) {
    try {
      sink->on_delta(std::move(delta));
    } catch (...) {  // a reader that throws has given up
      end.reason = FinishReason::cancelled;
    }
    sink->on_finish(std::move(end));
  }
  Finish finish(FinishReason reason, const std::string& endpoint, TimePoint now) const {
    Finish end;
    end.reason = reason;
    end.model = endpoint;
    end.request = id;
    end.id = caller_id;
    end.timing.e2e = now - submitted;
    end.timing.queue = taken == TimePoint{} ? end.timing.e2e : taken - submitted;
    end.timing.in_one_piece = true;
    end.ledger.attempts.push_back({.endpoint = endpoint, .model = endpoint, .tokens = TokenLedger{}});
    return end;
  }
};

/// Cancels the request from any thread, as long as both still are there.
template <class Request>
Call call_of(const std::shared_ptr<Request>& request, const Endpoint& endpoint) {
  return Call(
      [weak = std::weak_ptr<Request>(request), ref = EndpointRef(endpoint)] {
        const auto held = weak.lock();
        if (!held || held->cancelled.exchange(true)) return;
        if (const EndpointRef::Visit visit = ref.enter()) visit->wake();
      },
      request->id);
}

/// Ends a request that did not get into the queue.
inline Call refuse(GuardedSink& sink, const Error& error, const Request& request, RequestId id,
                   const std::string& endpoint) {
  Finish end = refusal(error, request.model);
  end.ledger.attempts.push_back({.endpoint = endpoint, .model = endpoint, .tokens = TokenLedger{}});
  end.request = id;
  end.id = request.id;
  sink.on_finish(std::move(end));
  return Call({}, id);
}

/// How many of the jobs, each with `tokens`, fit one pass.
template <class Job>
std::size_t fitting(const States& states, const std::deque<std::shared_ptr<Job>>& waiting) {
  std::vector<const std::vector<Token>*> texts;
  for (std::size_t i = 0; i < std::min(waiting.size(), States::most_texts); ++i) texts.push_back(&waiting[i]->tokens);
  return states.fitting(texts);
}

template <class Job>
class PassQueue {
 public:
  using Held = std::shared_ptr<Job>;
  using Jobs = std::vector<Held>;

  PassQueue(std::shared_ptr<Watchers> watchers, std::uint32_t most_waiting)
      : watchers_(std::move(watchers)), most_waiting_(most_waiting) {}

  /// All of them or none. Errors: busy, unavailable.
  expected<void> enqueue(const Jobs& jobs) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return unexpected(Errc::unavailable, "the endpoint is being destroyed");
      if (waiting_.size() + jobs.size() > most_waiting_)
        return unexpected(Errc::busy, "the queue is full (max_waiting)");
      waiting_.insert(waiting_.end(), jobs.begin(), jobs.end());
    }
    watchers_->call_one();
    return {};
  }

  /// One pass with the calling thread. `choose` says how many of those that wait take part, from the first on;
  /// `run` makes the pass and ends them.
  Progress step(const std::function<std::size_t(const std::deque<Held>&)>& choose,
                const std::function<void(const Jobs&)>& run, const LogSink& log) {
    Jobs batch;
    if (const std::optional<Progress> busy = take(batch, choose)) return *busy;
    std::list<std::function<void()>> errands;
    {
      const Working working(*watchers_);
      StepScope scope;
      run(batch);
      errands.swap(scope.errands);
    }
    release();
    for (const std::function<void()>& errand : errands) {  // escalations: outside the step
      try {
        errand();
      } catch (...) {
        if (log) log(LogLevel::error, 0, "work after a step failed: " + caught_text());
      }
    }
    return Progress::worked;
  }

  /// Takes no more; what waited is the caller's to end.
  Jobs close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    return {std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.end())};
  }

  Load load() const {
    const std::lock_guard lock(mutex_);
    return {.running = static_cast<std::uint32_t>(running_),
            .waiting = static_cast<std::uint32_t>(waiting_.size()),
            .accepting = !closed_};
  }

 private:
  // None = the jobs are the caller's; else why there is nothing to do.
  std::optional<Progress> take(Jobs& batch, const std::function<std::size_t(const std::deque<Held>&)>& choose) {
    const std::lock_guard lock(mutex_);
    if (driving_) return Progress::elsewhere;
    if (waiting_.empty()) return Progress::idle;
    for (std::size_t n = choose(waiting_); n > 0; --n) {
      batch.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    driving_ = true;
    running_ = batch.size();
    watchers_->answered();
    return std::nullopt;
  }

  void release() {
    bool more = false;
    {
      const std::lock_guard lock(mutex_);
      driving_ = false;
      running_ = 0;
      more = !waiting_.empty();
    }
    watchers_->step_ended();
    if (more) watchers_->call_one();
  }

  const std::shared_ptr<Watchers> watchers_;
  const std::uint32_t most_waiting_;
  mutable std::mutex mutex_{};  // guards the rest
  std::deque<Held> waiting_{};
  std::size_t running_ = 0;
  bool driving_ = false, closed_ = false;
};

}  // namespace frugal::head

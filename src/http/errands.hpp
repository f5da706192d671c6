// Errands: work that callbacks left for after a step. Whoever waits on the endpoint does it; where nobody waits, the
// endpoint's own thread does. Safe from any thread.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/endpoint/waker.hpp>

#include <functional>
#include <list>
#include <mutex>
#include <string>

#include "core/caught.hpp"
#include "endpoint/step_scope.hpp"

namespace frugal::http {

class Errands {
 public:
  explicit Errands(const LogSink& log) : log_(log) {}

  /// Lives around callbacks; takes over what they left, also where an exception ends it.
  class Scope {
   public:
    explicit Scope(Errands& errands) : errands_(errands) {}
    ~Scope() {
      const std::lock_guard lock(errands_.mutex_);
      errands_.jobs_.splice(errands_.jobs_.end(), step_.errands);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Errands& errands_;
    StepScope step_{};
  };

  /// Does one; false = there is none.
  bool run() {
    std::list<std::function<void()>> job;
    {
      const std::lock_guard lock(mutex_);
      if (jobs_.empty()) return false;
      job.splice(job.end(), jobs_, jobs_.begin());
    }
    try {
      job.front()();
    } catch (...) {
      if (log_) log_(LogLevel::error, 0, "work after a step failed: " + caught_text());
    }
    return true;
  }
  /// For the endpoint's thread.
  void hand_on(Watchers& watchers) {
    {
      const std::lock_guard lock(mutex_);
      if (jobs_.empty()) return;
    }
    if (!watchers.empty()) return watchers.call_one();
    while (run()) {
    }
  }

 private:
  const LogSink& log_;
  std::mutex mutex_{};
  std::list<std::function<void()>> jobs_{};
};

}  // namespace frugal::http

// Stop: a flag that is set once, and that a thread can wait for. Safe from any thread.
#pragma once

#include <frugal/core/clock.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace frugal::http {

class Stop {
 public:
  bool is_set() const noexcept { return set_.load(); }
  void set() noexcept {
    {
      const std::lock_guard lock(mutex_);
      set_ = true;
    }
    news_.notify_all();
  }
  /// Sleeps for so long, or until it is set; true = it is.
  bool wait_for(Duration time) const {
    std::unique_lock lock(mutex_);
    return news_.wait_for(lock, time, [this] { return set_.load(); });
  }

 private:
  mutable std::mutex mutex_{};
  mutable std::condition_variable news_{};
  std::atomic<bool> set_{false};
};

}  // namespace frugal::http

// Stream::Channel: the queue between the thread that drives and the thread that reads.
#pragma once

#include <frugal/endpoint/endpoint.hpp>

#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace frugal {

struct Stream::Channel final : Sink {
  explicit Channel(std::size_t capacity) : capacity_(capacity == 0 ? 1 : capacity) {}

  void on_delta(Delta delta) override {
    const std::lock_guard lock(mutex_);
    deltas_.push_back(std::move(delta));
  }
  void on_finish(Finish finish) override {
    const std::lock_guard lock(mutex_);
    finish_ = std::move(finish);
  }
  bool full() const override {
    const std::lock_guard lock(mutex_);
    return deltas_.size() >= capacity_;
  }

  /// Something to read, or the end.
  bool ready() const {
    const std::lock_guard lock(mutex_);
    return !deltas_.empty() || finish_.has_value();
  }
  bool ready_delta() const {
    const std::lock_guard lock(mutex_);
    return !deltas_.empty();
  }
  std::optional<Delta> pop() {
    const std::lock_guard lock(mutex_);
    if (deltas_.empty()) return std::nullopt;
    Delta front = std::move(deltas_.front());
    deltas_.pop_front();
    return front;
  }
  std::optional<Finish> finish() const {
    const std::lock_guard lock(mutex_);
    return finish_;
  }
  bool ended() const {
    const std::lock_guard lock(mutex_);
    return finish_.has_value();
  }

 private:
  mutable std::mutex mutex_;
  std::size_t capacity_;
  std::deque<Delta> deltas_;
  std::optional<Finish> finish_;
};

}  // namespace frugal

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
    if (finish_) return;
    deltas_.push_back(std::move(delta));
    if (reader_ != nullptr) reader_->wake();
  }
  /// The first one counts.
  void on_finish(Finish finish) override {
    const std::lock_guard lock(mutex_);
    if (finish_) return;
    finish_ = std::move(finish);
    if (reader_ != nullptr) reader_->wake();
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
  bool done() const {
    const std::lock_guard lock(mutex_);
    return deltas_.empty() && finish_.has_value();
  }
  struct Popped {
    std::optional<Delta> delta;
    bool was_full = false;  ///< the sequence may go on now
  };
  Popped pop() {
    const std::lock_guard lock(mutex_);
    if (deltas_.empty()) return {};
    Popped popped{std::move(deltas_.front()), deltas_.size() >= capacity_ && !finish_};
    deltas_.pop_front();
    return popped;
  }
  std::optional<Finish> finish() const {
    const std::lock_guard lock(mutex_);
    return finish_;
  }
  bool ended() const {
    const std::lock_guard lock(mutex_);
    return finish_.has_value();
  }
  /// Who waits for the next piece; null = nobody.
  void set_reader(Waker* reader) {
    const std::lock_guard lock(mutex_);
    reader_ = reader;
  }

 private:
  mutable std::mutex mutex_;
  std::size_t capacity_;
  std::deque<Delta> deltas_;
  std::optional<Finish> finish_;
  Waker* reader_ = nullptr;
};

}  // namespace frugal

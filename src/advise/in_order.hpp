// InOrder: records come in the order in which requests ended and leave in the order in which they were submitted, as
// far as a window of `most` reaches. A record without a time counts as submitted with the one before it.
#pragma once

#include <frugal/meter/trace.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace frugal::advisor {

class InOrder {
 public:
  explicit InOrder(std::size_t most) : most_(std::max<std::size_t>(most, 1)) {}

  template <class Sink>
  void push(TraceRecord record, const Sink& sink) {
    last_ = record.timestamp.value_or(last_);
    heap_.push_back({last_, next_++, free_slot(std::move(record))});
    std::push_heap(heap_.begin(), heap_.end());
    if (heap_.size() > most_) pop(sink);
  }
  template <class Sink>
  void flush(const Sink& sink) {
    while (!heap_.empty()) pop(sink);
  }

 private:
  struct Entry {
    double at;
    std::uint64_t order;
    std::size_t slot;
    bool operator<(const Entry& o) const { return at != o.at ? at > o.at : order > o.order; }  // the earliest on top
  };

  std::size_t free_slot(TraceRecord record) {
    if (free_.empty()) return records_.push_back(std::move(record)), records_.size() - 1;
    const std::size_t slot = free_.back();
    free_.pop_back();
    records_[slot] = std::move(record);
    return slot;
  }
  template <class Sink>
  void pop(const Sink& sink) {
    std::pop_heap(heap_.begin(), heap_.end());
    const Entry entry = heap_.back();
    heap_.pop_back();
    sink(records_[entry.slot], entry.at);
    free_.push_back(entry.slot);
  }

  std::size_t most_, next_ = 0;
  double last_ = 0;
  std::vector<Entry> heap_{};
  std::vector<TraceRecord> records_{};
  std::vector<std::size_t> free_{};
};

}  // namespace frugal::advisor

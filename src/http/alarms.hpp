// Alarms: one time for each of many, and which of them has come. Used by one thread. Cost: O(log n) a call.
#pragma once

#include <frugal/core/clock.hpp>

#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

namespace frugal::http {

template <class Key>
class Alarms {
 public:
  /// Replaces the alarm that `key` has; none = it gets no other. Where memory is short this throws, and it has none.
  void set(const Key& key, std::optional<TimePoint> at) {
    erase(key);
    if (!at) return;
    const auto place = by_time_.emplace(*at, key);
    try {
      of_.emplace(key, place);
    } catch (...) {
      by_time_.erase(place);
      throw;
    }
  }
  void erase(const Key& key) {
    const auto found = of_.find(key);
    if (found == of_.end()) return;
    by_time_.erase(found->second);
    of_.erase(found);
  }
  std::optional<TimePoint> next() const {
    if (by_time_.empty()) return std::nullopt;
    return by_time_.begin()->first;
  }
  /// Takes away one whose time has come; none = all are later than `now`.
  std::optional<Key> take_due(TimePoint now) {
    if (by_time_.empty() || by_time_.begin()->first > now) return std::nullopt;
    Key key = std::move(by_time_.begin()->second);
    erase(key);
    return key;
  }

 private:
  using ByTime = std::multimap<TimePoint, Key>;
  ByTime by_time_{};
  std::unordered_map<Key, typename ByTime::iterator> of_{};
};

}  // namespace frugal::http

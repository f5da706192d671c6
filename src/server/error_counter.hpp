// ErrorCounter: how many answers were errors, by status and code. A few numbers, whatever clients send.
#pragma once

#include <frugal/meter/metrics.hpp>

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace frugal::server {

/// Safe from any thread.
class ErrorCounter {
 public:
  void add(int status, Errc code) {
    const std::lock_guard lock(mutex_);
    ++counts_[{status, code}];
  }
  /// By status, then code.
  std::vector<ErrorAnswers> all() const {
    const std::lock_guard lock(mutex_);
    std::vector<ErrorAnswers> out;
    for (const auto& [key, count] : counts_) out.push_back({key.first, key.second, count});
    return out;
  }

 private:
  mutable std::mutex mutex_{};
  std::map<std::pair<int, Errc>, std::uint64_t> counts_{};
};

}  // namespace frugal::server

// Threads that spend from one budget while a watcher looks on.
#pragma once

#include <frugal/meter/budget.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace frugal::testing {

/// Three threads run work(0), work(1) and work(2). False where, at any moment that was looked at, the money spent and
/// set aside exceeded a cap by more than `tolerance` dollars, or a limit was overdrawn.
inline bool never_over(const Budget& budget, double tolerance, const std::function<void(std::uint32_t)>& work) {
  std::atomic<bool> over{false}, stop{false};
  const auto look = [&] {
    for (const LimitState& s : budget.state())
      if (s.spent + s.reserved > s.limit.usd + tolerance || s.overdraft > 0) over = true;
  };
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 3; ++t) threads.emplace_back(work, t);
  std::thread watcher([&] {
    while (!stop) look();
  });
  for (std::thread& t : threads) t.join();
  stop = true;
  watcher.join();
  look();
  return !over;
}

}  // namespace frugal::testing

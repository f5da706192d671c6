// Crew: a fixed set of threads that run one function together, with barriers between its phases. Workers are started at
// construction, spin for a short while after a job and then sleep until the next. One caller at a time; the caller
// works as member 0. What a job computes must not depend on how many members there are: split outputs, never sums.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace frugal::cpu {

class Crew {
 public:
  explicit Crew(unsigned members);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  unsigned members() const noexcept { return members_; }
  /// Calls job(member) once on each member; returns when all are done. The job must not throw.
  void run(const std::function<void(unsigned)>& job);
  /// Inside a job: waits until every member is here. Writes before it are visible to all after it.
  void meet() noexcept;
  /// Inside a job: the first of the next `count` pieces of this phase's work; the count starts at 0 again after each
  /// meeting. So a member whose core is taken away leaves its share to the others.
  std::uint32_t take(std::uint32_t count) noexcept { return taken_.fetch_add(count, std::memory_order_relaxed); }
  struct Share {
    std::uint32_t first, last;
  };
  /// The next share of `total` pieces: a fair part of what is left, so long runs first and single pieces at the end.
  /// Empty when all are taken. (Guided self-scheduling, Polychronopoulos and Kuck 1987.)
  Share take_guided(std::uint32_t total) noexcept {
    std::uint32_t first = taken_.load(std::memory_order_relaxed);
    for (;;) {
      if (first >= total) return {total, total};
      const std::uint32_t left = total - first, count = (left + 2 * members_ - 1) / (2 * members_);
      if (taken_.compare_exchange_weak(first, first + count, std::memory_order_relaxed)) return {first, first + count};
    }
  }

 private:
  void work(unsigned member);
  void await_change(const std::atomic<std::uint32_t>& word, std::uint32_t seen) const noexcept;

  unsigned members_;
  const std::function<void(unsigned)>* job_ = nullptr;
  alignas(64) std::atomic<std::uint32_t> round_{0};    ///< one up: a job is there (or stop)
  alignas(64) std::atomic<std::uint32_t> arrived_{0};  ///< members at the current meeting
  alignas(64) std::atomic<std::uint32_t> meeting_{0};  ///< one up: the meeting is over
  alignas(64) std::atomic<std::uint32_t> taken_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace frugal::cpu

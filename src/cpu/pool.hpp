// Crew: a fixed set of threads that run one function together, with barriers between its phases. Workers are started at
// construction, spin for a short while after a job and then sleep until the next. One caller at a time; the caller
// works as member 0. What a job computes must not depend on how many members there are: split outputs, never sums.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace frugal::cpu {

/// Between two looks at what another thread is to change.
inline void breathe() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// How many members of a crew should work. On a machine whose cores other programs use too, a member that lost its core
/// holds up all others at each meeting, and fewer members are quicker. So the time is added up in which members did not
/// compute, waiting or without a core, less half of the time of all members but one, and never below zero (a cumulative
/// sum, Page 1954): once it passes 8 ms for each member but one, one fewer works. All are tried again after 50 ms, then
/// 100, and so on up to 1.6 s; where all have worked for that long in peace, the next rest is half as long again.
class Attendance {
 public:
  explicit Attendance(unsigned members);

  unsigned working() const noexcept { return working_; }
  /// After each job: how long it took, how much of its members' time was lost, in sum, and how many left it. Who left a
  /// job does not work on the next.
  void learn(std::chrono::nanoseconds took, std::chrono::nanoseconds lost, unsigned left = 0) noexcept;
  /// In a job that has taken `took` so far: did its members wait for late ones so long, `waited` in sum, that it should
  /// go on with one fewer? Where so, what was lost is counted anew.
  bool hopeless(std::chrono::nanoseconds took, std::chrono::nanoseconds waited) noexcept;

 private:
  void lose(unsigned members) noexcept;

  unsigned members_, working_;
  std::chrono::nanoseconds trouble_{0};  ///< the sum
  std::chrono::nanoseconds since_{0};    ///< members came or went, or all worked in peace
  std::chrono::nanoseconds rest_;        ///< until all are tried again
};

class Crew {
 public:
  /// All members work on each job; with `yielding`, as many as Attendance says.
  explicit Crew(unsigned members, bool yielding = false);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// What memory of the members' own is sized by; a job shares its work among working().
  unsigned members() const noexcept { return members_; }
  /// Members in the present or the next job.
  unsigned working() const noexcept { return working_; }
  /// Calls job(member) once on each working member, 0 to working() - 1; returns when all are done. The job must not
  /// throw, and its results must not depend on how many work.
  void run(const std::function<void(unsigned)>& job);
  /// Inside a job: waits until every working member is here. Writes before it are visible to all after it.
  void meet() noexcept;
  /// Inside a job of a yielding crew, by all working members where a meeting would do: false where this member leaves the
  /// job, because members that lost their cores held up the others. Then it returns from the job at once, and working()
  /// is less by one for the rest. Costs nothing while all stay.
  [[nodiscard]] bool stays(unsigned member) noexcept;
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
      const std::uint32_t left = total - first, count = (left + 2 * working_ - 1) / (2 * working_);
      if (taken_.compare_exchange_weak(first, first + count, std::memory_order_relaxed)) return {first, first + count};
    }
  }

 private:
  void take_part(unsigned member, const std::function<void(unsigned)>& job);
  void announce() noexcept;
  void work(unsigned member);
  void await_change(const std::atomic<std::uint32_t>& word, std::uint32_t seen) const noexcept;
  void await_meeting(std::uint32_t seen) noexcept;
  bool arrive() noexcept;
  void open(std::uint32_t seen) noexcept;

  unsigned members_, working_;
  unsigned staying_;  ///< who works from the next stays() on; changed only while all others wait at a meeting
  bool yielding_;
  std::chrono::steady_clock::time_point began_;  ///< the present job
  Attendance attendance_;
  const std::function<void(unsigned)>* job_ = nullptr;
  alignas(64) std::atomic<std::uint32_t> round_{0};    ///< changed: a job is there (or stop), and for how many
  alignas(64) std::atomic<std::uint32_t> arrived_{0};  ///< members at the current meeting
  alignas(64) std::atomic<std::uint32_t> meeting_{0};  ///< one up: the meeting is over
  alignas(64) std::atomic<std::uint32_t> taken_{0};
  std::atomic<std::int64_t> late_ns_{0};  ///< waited for late members, all meetings of the present job
  std::atomic<bool> stop_{false};
  std::vector<std::chrono::nanoseconds> computed_;  ///< by each member, in the present job
  std::vector<std::uint8_t> left_;                  ///< of each member, by itself: it left the present job
  std::vector<std::thread> threads_;
};

}  // namespace frugal::cpu

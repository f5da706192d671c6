#include "cpu/pool.hpp"

#include <algorithm>

namespace frugal::cpu {
namespace {

// About 50 microseconds of spinning (a pause is 40 to 140 cycles), a few gifts of the time slice to whoever holds our
// core, then sleep.
constexpr int spins = 1500;
constexpr int yields = 20;

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

// A wait of this much is no unevenness of shares and no slow waking up: somebody lost a core.
constexpr nanoseconds lateness{300'000};
constexpr std::uint32_t round_step = 4096;  // more members than any crew has
constexpr int judged_jobs = 4, longest_rest = 256, first_rest = 16;
constexpr nanoseconds judged_time{40'000'000};

}  // namespace

void Attendance::learn(nanoseconds took, nanoseconds waited) noexcept {
  took_ += took, waited_ += waited;
  if (++jobs_ >= judged_jobs || took_ >= judged_time) judge();
}

void Attendance::judge() noexcept {
  if (working_ > 1 && 2 * waited_ > (working_ - 1) * took_) {
    --working_;
    left_ = rest_;
    rest_ = std::min(2 * rest_, longest_rest);
  } else if (working_ < members_) {
    left_ -= jobs_;
    if (left_ <= 0) ++working_;
  } else {
    rest_ = first_rest;
  }
  jobs_ = 0, took_ = waited_ = nanoseconds{0};
}

Crew::Crew(unsigned members, bool yielding)
    : members_(members), working_(members), yielding_(yielding), attendance_(members) {
  threads_.reserve(members - 1);
  try {
    for (unsigned m = 1; m < members; ++m) threads_.emplace_back([this, m] { work(m); });
  } catch (...) {
    stop_ = true;
    announce();
    for (auto& t : threads_) t.join();
    throw;
  }
}

Crew::~Crew() {
  stop_ = true;
  announce();
  for (auto& t : threads_) t.join();
}

void Crew::await_change(const std::atomic<std::uint32_t>& word, std::uint32_t seen) const noexcept {
  for (int i = 0; i < spins; ++i) {
    if (word.load(std::memory_order_acquire) != seen) return;
    breathe();
  }
  for (int i = 0; i < yields; ++i) {
    if (word.load(std::memory_order_acquire) != seen) return;
    std::this_thread::yield();
  }
  word.wait(seen, std::memory_order_acquire);
}

/// As await_change, with the time it takes beyond the usual.
void Crew::await_meeting(std::uint32_t seen) noexcept {
  for (int i = 0; i < spins; ++i) {
    if (meeting_.load(std::memory_order_acquire) != seen) return;
    breathe();
  }
  const auto start = Clock::now();
  await_change(meeting_, seen);
  const nanoseconds waited = Clock::now() - start;
  if (waited > lateness) late_ns_.fetch_add(waited.count(), std::memory_order_relaxed);
}

void Crew::meet() noexcept {
  if (working_ == 1) return taken_.store(0, std::memory_order_relaxed);
  const std::uint32_t now = meeting_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == working_) {
    arrived_.store(0, std::memory_order_relaxed);
    taken_.store(0, std::memory_order_relaxed);
    meeting_.store(now + 1, std::memory_order_release);
    meeting_.notify_all();
  } else {
    await_meeting(now);
  }
}

/// The next round, with how many work on it: a member that does not may read this late, and nothing else.
void Crew::announce() noexcept {
  const std::uint32_t round = round_.load(std::memory_order_relaxed) / round_step + 1;
  round_.store(round * round_step + working_, std::memory_order_release);
  round_.notify_all();
}

void Crew::run(const std::function<void(unsigned)>& job) {
  const auto start = yielding_ ? Clock::now() : Clock::time_point{};
  if (working_ > 1) {
    job_ = &job;
    announce();
  }
  job(0);
  meet();
  if (!yielding_ || members_ == 1) return;
  attendance_.learn(Clock::now() - start, nanoseconds{late_ns_.exchange(0, std::memory_order_relaxed)});
  working_ = attendance_.working();
}

void Crew::work(unsigned member) {
  std::uint32_t seen = 0;
  for (;;) {
    await_change(round_, seen);
    const std::uint32_t now = round_.load(std::memory_order_acquire);
    if (now == seen) continue;
    seen = now;
    if (stop_) return;
    if (member >= now % round_step) continue;
    (*job_)(member);
    meet();
  }
}

}  // namespace frugal::cpu

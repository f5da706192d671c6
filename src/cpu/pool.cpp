#include "cpu/pool.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace frugal::cpu {
namespace {

inline void breathe() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// About 50 microseconds of spinning (a pause is 40 to 140 cycles), a few gifts of the time slice to whoever holds our
// core, then sleep.
constexpr int spins = 1500;
constexpr int yields = 20;

}  // namespace

Crew::Crew(unsigned members) : members_(members) {
  threads_.reserve(members - 1);
  try {
    for (unsigned m = 1; m < members; ++m) threads_.emplace_back([this, m] { work(m); });
  } catch (...) {
    stop_ = true;
    ++round_;
    round_.notify_all();
    for (auto& t : threads_) t.join();
    throw;
  }
}

Crew::~Crew() {
  stop_ = true;
  ++round_;
  round_.notify_all();
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

void Crew::meet() noexcept {
  if (members_ == 1) return taken_.store(0, std::memory_order_relaxed);
  const std::uint32_t now = meeting_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
    arrived_.store(0, std::memory_order_relaxed);
    taken_.store(0, std::memory_order_relaxed);
    meeting_.store(now + 1, std::memory_order_release);
    meeting_.notify_all();
  } else {
    await_change(meeting_, now);
  }
}

void Crew::run(const std::function<void(unsigned)>& job) {
  if (members_ > 1) {
    job_ = &job;
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }
  job(0);
  meet();
}

void Crew::work(unsigned member) {
  std::uint32_t seen = 0;
  for (;;) {
    await_change(round_, seen);
    const std::uint32_t now = round_.load(std::memory_order_acquire);
    if (now == seen) continue;
    seen = now;
    if (stop_) return;
    (*job_)(member);
    meet();
  }
}

}  // namespace frugal::cpu

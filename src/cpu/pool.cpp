#include "cpu/pool.hpp"

#include <algorithm>
#include <ctime>

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
constexpr nanoseconds patience{1'000'000};  // less is no reason to look at what a job lost
// Per member but one. One time slice of another program (3 to 4 ms) costs two members at most 6 ms more than their
// half, so it alone drives nobody out; a program that stays does within some 20 ms.
constexpr nanoseconds most_trouble{8'000'000};
constexpr nanoseconds first_rest{50'000'000}, longest_rest{1'600'000'000};

/// What the calling thread has computed so far: a core was working for it.
nanoseconds computed() noexcept {
  std::timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds{t.tv_sec} + nanoseconds{t.tv_nsec};
}

}  // namespace

Attendance::Attendance(unsigned members) : members_(members), working_(members), rest_(first_rest) {}

bool Attendance::hopeless(nanoseconds took, nanoseconds waited) noexcept {
  if (working_ == 1) return false;
  const auto others = static_cast<int>(working_ - 1);
  const nanoseconds lost = waited + waited / others;  // who is waited for does nothing either
  if (trouble_ + lost - took * others / 2 <= most_trouble * others) return false;
  trouble_ = nanoseconds{0};
  return true;
}

void Attendance::learn(nanoseconds took, nanoseconds lost, unsigned left) noexcept {
  const auto others = static_cast<int>(working_ - 1);
  trouble_ = std::max(nanoseconds{0}, trouble_ + lost - took * others / 2);
  since_ += took;
  if (left != 0) {
    lose(left);
  } else if (trouble_ > most_trouble * others && others > 0) {
    lose(1);
  } else if (working_ < members_ && since_ >= rest_) {
    trouble_ = nanoseconds{0};
    if (++working_ == members_) since_ = nanoseconds{0}, rest_ = std::min(2 * rest_, longest_rest);
  } else if (working_ == members_ && since_ >= rest_) {
    since_ = nanoseconds{0}, rest_ = std::max(rest_ / 2, first_rest);
  }
}

void Attendance::lose(unsigned members) noexcept {
  working_ -= members;
  trouble_ = since_ = nanoseconds{0};
}

Crew::Crew(unsigned members, bool yielding)
    : members_(members),
      working_(members),
      staying_(members),
      yielding_(yielding),
      attendance_(members),
      computed_(members),
      left_(members) {
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

/// Am I the last one of this meeting? Once I am counted, the others may go on and change how many work.
bool Crew::arrive() noexcept {
  const unsigned working = working_;
  return arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == working;
}

/// By the last one: the others go on.
void Crew::open(std::uint32_t seen) noexcept {
  arrived_.store(0, std::memory_order_relaxed);
  taken_.store(0, std::memory_order_relaxed);
  meeting_.store(seen + 1, std::memory_order_release);
  meeting_.notify_all();
}

void Crew::meet() noexcept {
  if (working_ == 1) return taken_.store(0, std::memory_order_relaxed);
  const std::uint32_t now = meeting_.load(std::memory_order_relaxed);
  if (!arrive()) return await_meeting(now);
  const nanoseconds waited{late_ns_.load(std::memory_order_relaxed)};
  if (yielding_ && waited > patience && attendance_.hopeless(Clock::now() - began_, waited)) staying_ = working_ - 1;
  open(now);
}

bool Crew::stays(unsigned member) noexcept {
  const unsigned staying = staying_;  // the same for all: it changes at meetings only
  if (staying == working_) return true;
  const std::uint32_t now = meeting_.load(std::memory_order_relaxed);
  if (arrive()) {
    working_ = staying;
    late_ns_.store(0, std::memory_order_relaxed), began_ = Clock::now();  // whether more should leave is asked anew
    open(now);
  } else if (member < staying) {
    await_meeting(now);
  }
  // Who leaves waits for nobody, and reads nothing of the job from here on: the others may end it first.
  if (member >= staying) left_[member] = 1;
  return member < staying;
}

/// The next round, with how many work on it: a member that does not may read this late, and nothing else.
void Crew::announce() noexcept {
  const std::uint32_t round = round_.load(std::memory_order_relaxed) / round_step + 1;
  round_.store(round * round_step + working_, std::memory_order_release);
  round_.notify_all();
}

/// The job, and how long a core worked on it for this member.
void Crew::take_part(unsigned member, const std::function<void(unsigned)>& job) {
  if (!yielding_) return job(member);
  const nanoseconds before = computed();
  job(member);
  computed_[member] = computed() - before;
}

void Crew::run(const std::function<void(unsigned)>& job) {
  const unsigned began_with = working_;
  staying_ = working_;
  if (yielding_) began_ = Clock::now();
  if (working_ > 1) {
    job_ = &job;
    announce();
  }
  take_part(0, job);
  meet();
  if (!yielding_ || members_ == 1) return;
  const nanoseconds took = Clock::now() - began_;
  nanoseconds lost{0};
  for (unsigned m = 0; m < working_; ++m) lost += std::max(took - computed_[m], nanoseconds{0});
  late_ns_.store(0, std::memory_order_relaxed);
  attendance_.learn(took, lost, began_with - working_);
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
    left_[member] = 0;
    take_part(member, *job_);
    if (left_[member] == 0) meet();
  }
}

}  // namespace frugal::cpu

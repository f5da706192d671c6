// Waker and Watchers: how a thread sleeps until an endpoint has something for it, without polling. A Waker belongs to
// one waiting thread or to one event loop. Watchers is an endpoint's list of them.
//
// Hosts use a Waker with a hook to run endpoints from an event loop (Endpoint::watch). Authors of endpoints whose step()
// can answer `waiting` or `elsewhere` call Watchers. Everybody else can ignore this header.
//
// Threads: wake() and all of Watchers are safe from any thread; wait() is for the owner of the Waker. Cost: waking a
// thread that is not asleep is two atomic operations.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace frugal {

class StepScope;
class Watchers;

class FRUGAL_API Waker {
 public:
  Waker() = default;
  /// Never sleeps; calls `hook` for each wake instead. The hook may run on any thread and under locks of frugal's: it
  /// must not block and must not call frugal. Writing to an eventfd or a pipe is what it is for.
  explicit Waker(std::function<void()> hook) : hook_(std::move(hook)) {}
  /// Stops watching whatever it still watches.
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  void wake();
  /// Wakes so far. Read it before looking whether there is work, and pass it to wait().
  std::uint64_t count() const noexcept { return count_.load(); }
  /// Sleeps until count() is no longer `seen`, or until the time given. False = the time came first.
  bool wait(std::uint64_t seen, std::optional<TimePoint> until = std::nullopt);

 private:
  friend class Watchers;
  friend class Working;
  enum class State { looking, working, asleep };

  std::function<void()> hook_{};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<State> state_{State::looking};
  std::mutex mutex_{};
  std::condition_variable woken_{};
  std::vector<std::shared_ptr<Watchers>> places_{};  // touched by the owner only
};

/// The wakers of the threads that may work on one endpoint. Keeps one promise: after call_one(), some thread looks at
/// the endpoint (calls step()) or leaves, and whoever leaves hands the call on. Lives in a shared_ptr. A step() that makes
/// others answer `elsewhere` looks once more when that is over, and calls one if there is work: whoever was called
/// meanwhile has gone to sleep again.
class FRUGAL_API Watchers : public std::enable_shared_from_this<Watchers> {
 public:
  void add(Waker& waker, bool every_step = false);
  void remove(Waker& waker);
  /// There is work for one thread: tells one that is looking anyway, else wakes one that sleeps.
  void call_one();
  /// A thread has come for the work.
  void answered() noexcept { called_.store(false); }
  bool called() const noexcept { return called_.load(); }
  bool empty() const noexcept { return size_.load() == 0; }
  /// Wakes those who asked to look after every step.
  void step_ended();
  void wake_all();

 private:
  struct Entry {
    Waker* waker;
    bool every_step;
  };
  bool wake_best();

  std::mutex mutex_;
  std::vector<Entry> entries_;
  std::atomic<std::size_t> size_{0}, eager_{0};
  std::atomic<bool> called_{false};
};

/// Marks the calling thread as inside a step of the endpoint that owns `place`: other endpoints it watches call somebody
/// else meanwhile, and a callback that would wait for itself is refused. For authors of endpoints: one in every step(),
/// declared before the locks that the step holds, because its destructor does what callbacks left for after the step
/// (a cascade starts its next tier then). `callbacks` = false: none is called.
class FRUGAL_API Working {
 public:
  explicit Working(Watchers& place, bool callbacks = true);
  ~Working();
  Working(const Working&) = delete;
  Working& operator=(const Working&) = delete;

 private:
  Waker* waker_;
  std::unique_ptr<StepScope> scope_{};
};

}  // namespace frugal

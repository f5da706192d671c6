// What the calling thread is doing: whether it is inside a step, so that a callback which would wait for itself is
// refused, and what has to be done after the step, outside it.
#pragma once

#include <frugal/config.hpp>
#include <frugal/endpoint/waker.hpp>

#include <functional>
#include <list>

namespace frugal {

/// The waker of the thread's innermost drive(); null outside of one.
Waker*& waker_of_this_thread();

/// Lives as long as a step, on the thread that makes it.
class FRUGAL_API StepScope {
 public:
  StepScope();
  ~StepScope();
  StepScope(const StepScope&) = delete;
  StepScope& operator=(const StepScope&) = delete;
  /// The innermost one of this thread; null = it is in no step.
  static StepScope* current();

  std::list<std::function<void()>> errands;  ///< to be run after the step by any thread

 private:
  StepScope* outer_;
};

/// Runs `job` after the step that this thread is in, outside it and maybe on another thread; at once where it is in
/// none. For work that must not hold up a step, such as reading the prompt of an escalation.
void after_step(std::function<void()> job);

/// Throws Error(invalid_argument) where this thread is in a step: `what` would wait for itself.
void refuse_inside_step(const char* what);

}  // namespace frugal

#include "endpoint/step_scope.hpp"

#include <frugal/core/error.hpp>

#include <string>
#include <utility>

namespace frugal {
namespace {

StepScope*& innermost() {
  thread_local StepScope* scope = nullptr;
  return scope;
}

}  // namespace

Waker*& waker_of_this_thread() {
  thread_local Waker* waker = nullptr;
  return waker;
}

StepScope::StepScope() : outer_(std::exchange(innermost(), this)) {}
StepScope::~StepScope() { innermost() = outer_; }
StepScope* StepScope::current() { return innermost(); }

void after_step(std::function<void()> job) {
  StepScope* const scope = StepScope::current();
  if (scope == nullptr) return job();
  scope->errands.push_back(std::move(job));
}

void refuse_inside_step(const char* what) {
  if (StepScope::current() == nullptr) return;
  throw Error(Errc::invalid_argument, std::string(what) +
                                          " inside a callback: this thread drives an endpoint and "
                                          "would wait for itself");
}

}  // namespace frugal

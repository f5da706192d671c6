// Failing allocations: operator new of the whole program, which throws std::bad_alloc at the n-th call from now on,
// once. Link failing_allocations.cpp into a test program of its own.
#pragma once

#include <cstdint>

namespace frugal::testing {

/// Allocation number n (0 = the next one) of any thread fails while this lives.
class FailingAllocation {
 public:
  explicit FailingAllocation(std::int64_t n);
  ~FailingAllocation();
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
  /// False: there were fewer allocations.
  bool failed() const;
};

}  // namespace frugal::testing

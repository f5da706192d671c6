#include "support/failing_allocations.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

constexpr std::int64_t never = -1;
std::atomic<std::int64_t> left{never};

void* allocate(std::size_t bytes) {
  if (left.load(std::memory_order_relaxed) > never && left.fetch_sub(1) == 0) throw std::bad_alloc();
  void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace frugal::testing {

FailingAllocation::FailingAllocation(std::int64_t n) { left.store(n); }
FailingAllocation::~FailingAllocation() { left.store(never); }
bool FailingAllocation::failed() const { return left.load() == never; }

}  // namespace frugal::testing

// The memory of the pretend device, and the copies that are under way. See pretend_device.hpp.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <utility>

#include "torch/pretend_device.hpp"

namespace frugal::testing::pretend {

/// One reserved range of addresses, locked as a whole.
class Memory final : public c10::DeviceAllocator {
 public:
  static Memory& get();

  c10::DataPtr allocate(std::size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override;
  void copy_data(void* to, const void* from, std::size_t bytes) const override;

  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override { return {}; }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override {}
  std::pair<std::size_t, std::size_t> getMemoryInfo(c10::DeviceIndex) override;

  bool owns(const void* p) const;
  void unlock();
  void lock();

  std::size_t limit = std::size_t{1} << 32, in_use = 0;

 private:
  Memory();
  static void release(void* p);
  void protect(bool locked) const;
  std::size_t place(std::size_t bytes);

  char* base_ = nullptr;
  std::size_t top_ = 0;
  int unlocked_ = 0;
  std::map<std::size_t, std::size_t> free_, taken_;  // offset -> bytes
};

/// Host memory that queued copies may use. What is freed while a copy is under way stays until that has arrived.
class Pinned final : public c10::Allocator {
 public:
  static Pinned& get();
  c10::DataPtr allocate(std::size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override;
  void copy_data(void* to, const void* from, std::size_t bytes) const override;
  bool owns(const void* p) const;
  /// Gives back what was freed before the copies on it had arrived.
  void sweep();

 private:
  static void release(void* p);
  std::map<char*, std::size_t> blocks_;
  std::list<char*> freed_;
};

/// The copies between pinned memory and the device that nobody has waited for, by stream, in order.
class Copies {
 public:
  static Copies& get();

  void from_device(std::int64_t stream, const at::Tensor& from, const at::Tensor& to);
  void to_device(std::int64_t stream, const at::Tensor& from);
  /// A number for the work queued so far.
  std::uint64_t now() const { return next_; }
  /// Delivers what was queued on the stream before `until`. Throws where a source was changed in the meantime.
  void wait(std::int64_t stream, std::uint64_t until);
  /// Whether somebody has waited for that.
  bool waited_for(std::int64_t stream, std::uint64_t until) const;
  bool uses(const char* block, std::size_t bytes) const;

  PretendCounts counts;
  bool forget_waits = false;
  std::uint64_t failures = 0;  // to come

 private:
  struct Copy {
    std::int64_t stream;
    std::uint64_t number;
    at::Tensor snapshot;  // of the device, or of the host's source
    char* host;
    std::size_t bytes;
    bool to_host;
  };
  std::uint64_t next_ = 1;
  std::list<Copy> pending_;
  std::map<std::int64_t, std::uint64_t> waited_for_;  // by stream
};

/// The stream of this thread; 0 is the default one.
std::int64_t current_stream();
std::int64_t exchange_stream(std::int64_t stream);

/// Registers streams, events and pinned memory.
void register_device();

}  // namespace frugal::testing::pretend

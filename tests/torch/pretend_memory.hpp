// The memory of the pretend device, and the copies that are under way. See pretend_device.hpp.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <utility>
#include <vector>

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

  /// Until end_pool() allocations come from a pool: what is given back there is used again there only.
  void begin_pool();
  using Blocks = std::map<std::size_t, std::size_t>;  // offset -> bytes
  /// The pool's memory, which stays taken until free_pool(). False: some of it is still held, and stays with its holder.
  bool end_pool(Blocks& pool);
  void free_pool(const Blocks& pool);
  void forget(const Blocks& blocks);  ///< NaN everywhere

  std::size_t limit = std::size_t{1} << 32, in_use = 0;

 private:
  Memory();
  static void release(void* p);
  void protect(bool locked) const;
  std::size_t place(std::size_t bytes);
  std::size_t place_in_pool(std::size_t bytes);
  void give_back(std::size_t at, std::size_t size);

  char* base_ = nullptr;
  std::size_t top_ = 0;
  int unlocked_ = 0;
  Blocks free_, taken_;
  bool pooling_ = false;
  Blocks pool_free_, pool_taken_;
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

/// What is noted while a recording is made: what each operation does to which addresses.
class Notes {
 public:
  static Notes& get();
  bool open() const { return open_; }
  /// Throws where nothing of the kind may be done while a recording is made.
  void refuse(const char* what) const;
  void add(std::function<void()> call) { calls.push_back(std::move(call)); }
  void set_open(bool open) { open_ = open; }

  std::vector<std::function<void()>> calls;
  bool replaying = false;

 private:
  bool open_ = false;
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

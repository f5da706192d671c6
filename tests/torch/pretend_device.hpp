// PretendDevice: LibTorch's PrivateUse1 over host memory that traps. Whatever host code reads or writes outside an
// operation ends the process; so device placement, copies and waits of the LibTorch backend are checked on machines
// without a GPU. It is stricter than a device where that finds mistakes:
//   - new memory holds NaN, and so does pinned memory that a copy from the device has not reached yet
//   - queued copies to the host arrive when somebody waits, never earlier
//   - the source of a queued copy to the device must stay as it was until somebody waits
//   - operations take no tensor of the host, except scalars
// Operations run as LibTorch's own on the CPU. Races between streams and speed are not shown.
#pragma once

#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>

namespace frugal::testing {

/// What the device was asked for since reset_counts().
struct PretendCounts {
  std::uint64_t operations = 0;
  std::uint64_t on_default_stream = 0;  ///< operations and copies beside any stream of the caller's own
  std::uint64_t blocking_copies = 0;    ///< between host and device, a value read by the host included
  std::uint64_t queued_copies = 0;
  std::uint64_t bytes_up = 0, bytes_down = 0;  ///< of queued copies
  std::uint64_t waits = 0;
  std::uint64_t grown = 0;    ///< allocations that no memory given back before could serve
  std::uint64_t pinned = 0;   ///< allocations of pinned memory
  std::uint64_t replays = 0;  ///< of recordings; the operations in them are not counted
};

/// One in a process; registered with LibTorch when it is first asked for. Not for several threads at a time.
class PretendDevice {
 public:
  static PretendDevice& get();

  c10::Device device() const { return {c10::DeviceType::PrivateUse1, 0}; }
  PretendCounts counts() const;
  void reset_counts();
  /// Allocations beyond so many bytes fail as on a device that is full.
  void limit_memory(std::size_t bytes);
  std::size_t bytes_in_use() const;
  /// The next so many operations fail as kernels that fault do.
  void fail(std::uint64_t operations);
  /// A planted mistake: whoever waits goes on at once, and queued copies have not arrived.
  void forget_waits(bool forget);

  /// While one lives, memory of the device may be touched: what a kernel does.
  class Unlocked {
   public:
    Unlocked();
    ~Unlocked();
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;
  };

 private:
  PretendDevice();
};

}  // namespace frugal::testing

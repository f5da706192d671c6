// Parcel: arrays that are made on the host and go to the device in one copy, which nobody waits for. The host's memory
// is pinned and comes from LibTorch's own pool, which reuses it once the copy is done.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace frugal::aten {

class Parcel {
 public:
  /// Where an array lies.
  struct Slot {
    std::size_t at = 0, count = 0;
  };

  template <class T>
  Slot add(std::span<const T> values) {
    const Slot slot{(bytes_.size() + alignment - 1) / alignment * alignment, values.size()};
    bytes_.resize(slot.at + values.size_bytes());
    if (!values.empty()) std::memcpy(bytes_.data() + slot.at, values.data(), values.size_bytes());
    return slot;
  }
  template <class T>
  Slot add(const std::vector<T>& values) {
    return add(std::span<const T>(values));
  }

  /// Starts the copy on the current stream; add() nothing more.
  void send(c10::Device device);

  /// After send(): an array as a tensor of one dimension.
  at::Tensor tensor(Slot slot, c10::ScalarType type) const;
  /// After send(): its address on the device, for kernels; null where it is empty.
  const void* address(Slot slot) const;

 private:
  static constexpr std::size_t alignment = 16;
  std::vector<std::byte> bytes_;
  at::Tensor sent_;
};

/// Brings a contiguous tensor to pinned memory. On a device the result is valid once the lane was waited for.
at::Tensor queued_to_host(const at::Tensor& t);

}  // namespace frugal::aten

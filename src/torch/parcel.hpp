// Memory that is kept from step to step, so that a steady step allocates nothing: Grown, one array; Parcel, what a step
// carries to the device, in one copy that nobody waits for; Returns, what it brings back.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "torch/lane.hpp"

namespace frugal::aten {

/// One array of bytes, of a device or of the host. It keeps its address until it must be larger.
class Grown {
 public:
  /// Of `device`; where `pinned`, of the host instead, for copies that are queued.
  explicit Grown(c10::Device device, bool pinned = false) : device_(device), pinned_(pinned) {}

  /// [bytes], holding what it held as far as that is `kept`.
  at::Tensor bytes(std::size_t wanted, std::size_t kept = 0);
  at::Tensor floats(std::int64_t rows, std::int64_t cols);
  /// Goes up when the address changes.
  std::uint64_t moves() const { return moves_; }

 private:
  c10::Device device_;
  bool pinned_;
  at::Tensor bytes_;
  std::uint64_t moves_ = 0;
};

/// Arrays that are made on the host. One buffer on the device; two pinned ones, used by turns, so that a step can be
/// filled while the copy of the one before is under way.
class Parcel {
 public:
  static constexpr std::size_t least_bytes = std::size_t{1} << 20;  ///< a step of max_rows rows fits
  explicit Parcel(c10::Device device);
  /// Takes the least that a step uses.
  void reserve();

  /// Where an array lies.
  struct Slot {
    std::size_t at = 0, count = 0;
  };

  /// Begins a step. Waits where the copy of the step before the last is still under way.
  void open(const Lane& lane);

  template <class T>
  Slot reserve(std::size_t count) {
    const Slot slot{(used_ + alignment - 1) / alignment * alignment, count};
    grow(slot.at + count * sizeof(T));
    return slot;
  }
  template <class T>
  void fill(Slot slot, std::span<const T> values) {
    if (!values.empty()) std::memcpy(host_bytes() + slot.at, values.data(), values.size_bytes());
  }
  template <class T>
  Slot add(std::span<const T> values) {
    const Slot slot = reserve<T>(values.size());
    fill(slot, values);
    return slot;
  }
  template <class T>
  Slot add(const std::vector<T>& values) {
    return add(std::span<const T>(values));
  }

  /// After the last reserve(): where arrays will lie on the device, for what points to them.
  void settle();
  /// After settle(): an array's address on the device; null where it is empty.
  const void* address(Slot slot) const;
  /// Starts the copy on the current stream.
  void send(const Lane& lane);
  /// After settle(): an array as a tensor of one dimension. Its content is there after send().
  at::Tensor tensor(Slot slot, c10::ScalarType type) const;
  /// Goes up when arrays of the same layout begin to lie elsewhere on the device.
  std::uint64_t moves() const { return device_bytes_.moves(); }

 private:
  static constexpr std::size_t alignment = 16;
  void grow(std::size_t bytes);
  std::byte* host_bytes() const { return static_cast<std::byte*>(host_.data_ptr()); }

  c10::Device device_;
  std::array<Grown, 2> pinned_;
  std::array<std::optional<c10::Event>, 2> sent_{};
  Grown device_bytes_;
  std::size_t turn_ = 0, used_ = 0;
  at::Tensor host_, on_device_;
};

/// Pinned memory for what comes back, by kind. Two of each, used by turns.
class Returns {
 public:
  explicit Returns(c10::Device device);
  enum Kind { records, logits, distributions };

  /// Takes memory for so much of this kind.
  void reserve(Kind kind, std::size_t bytes) {
    for (auto& turn : pinned_) turn[kind].bytes(bytes);
  }
  void open() { turn_ = 1 - turn_; }
  /// Brings a contiguous tensor. On a device the result is valid once the lane was waited for, until the next but one of
  /// this kind.
  at::Tensor bring(Kind kind, const at::Tensor& t);

 private:
  std::array<std::array<Grown, 3>, 2> pinned_;
  std::size_t turn_ = 0;
};

}  // namespace frugal::aten

#include "torch/parcel.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <bit>

namespace frugal::aten {
namespace {

Grown pinned_for(c10::Device device) { return Grown(c10::Device(c10::DeviceType::CPU), !device.is_cpu()); }

}  // namespace

/// Small arrays grow by doubling, so that they seldom move.
at::Tensor Grown::bytes(std::size_t wanted, std::size_t kept) {
  const auto size = static_cast<std::int64_t>(wanted);
  if (!bytes_.defined() || bytes_.size(0) < size) {
    constexpr std::size_t small = std::size_t{1} << 20, least = 4096;
    const std::size_t room = wanted < small ? std::bit_ceil(std::max(wanted, least)) : wanted;
    const auto options = at::TensorOptions(at::kByte);
    ++moves_;
    if (kept == 0) bytes_.reset();  // the old array and the new one need not live at once
    at::Tensor larger =
        at::empty({static_cast<std::int64_t>(room)}, pinned_ ? options.pinned_memory(true) : options.device(device_));
    if (kept > 0) std::memcpy(larger.data_ptr(), bytes_.const_data_ptr(), kept);
    bytes_ = std::move(larger);
  }
  return bytes_.narrow(0, 0, size);
}

at::Tensor Grown::floats(std::int64_t rows, std::int64_t cols) {
  return bytes(static_cast<std::size_t>(rows * cols) * sizeof(float)).view(at::kFloat).view({rows, cols});
}

Parcel::Parcel(c10::Device device)
    : device_(device), pinned_{pinned_for(device), pinned_for(device)}, device_bytes_(device) {}

void Parcel::reserve() {
  for (Grown& g : pinned_) g.bytes(least_bytes);
  if (!device_.is_cpu()) device_bytes_.bytes(least_bytes);
}

void Parcel::open(const Lane& lane) {
  turn_ = 1 - turn_;
  used_ = 0;
  if (std::optional<c10::Event>& sent = sent_[turn_]; lane.stream() && sent && !sent->query()) sent->synchronize();
  host_ = pinned_[turn_].bytes(least_bytes);
}

void Parcel::grow(std::size_t bytes) {
  if (bytes > static_cast<std::size_t>(host_.size(0)))
    host_ = pinned_[turn_].bytes(std::max(bytes, 2 * static_cast<std::size_t>(host_.size(0))), used_);
  used_ = bytes;
}

/// As large as the host's, so that both grow by doubling.
void Parcel::settle() {
  on_device_ = device_.is_cpu() ? host_ : device_bytes_.bytes(static_cast<std::size_t>(host_.size(0)));
}

const void* Parcel::address(Slot slot) const {
  return slot.count == 0 ? nullptr : static_cast<const std::byte*>(on_device_.const_data_ptr()) + slot.at;
}

void Parcel::send(const Lane& lane) {
  if (device_.is_cpu() || used_ == 0) return;
  const auto bytes = static_cast<std::int64_t>(used_);
  on_device_.narrow(0, 0, bytes).copy_(host_.narrow(0, 0, bytes), /*non_blocking=*/true);
  std::optional<c10::Event>& sent = sent_[turn_];
  if (!sent) sent.emplace(lane.stream()->device_type());
  sent->record(*lane.stream());
}

at::Tensor Parcel::tensor(Slot slot, c10::ScalarType type) const {
  const auto bytes = static_cast<std::int64_t>(slot.count * c10::elementSize(type));
  return on_device_.narrow(0, static_cast<std::int64_t>(slot.at), bytes).view(type);
}

Returns::Returns(c10::Device device)
    : pinned_{{{pinned_for(device), pinned_for(device), pinned_for(device)},
               {pinned_for(device), pinned_for(device), pinned_for(device)}}} {}

at::Tensor Returns::bring(Kind kind, const at::Tensor& t) {
  if (t.device().is_cpu()) return t;
  const at::Tensor host = pinned_[turn_][kind].bytes(t.nbytes()).view(t.scalar_type()).view(t.sizes());
  host.copy_(t, /*non_blocking=*/true);
  return host;
}

}  // namespace frugal::aten

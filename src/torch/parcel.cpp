#include "torch/parcel.hpp"

#include <ATen/ops/empty.h>

namespace frugal::aten {

void Parcel::send(c10::Device device) {
  if (bytes_.empty()) {
    sent_ = at::empty({0}, at::TensorOptions(at::kByte).device(device));
    return;
  }
  const auto options = at::TensorOptions(at::kByte).pinned_memory(!device.is_cpu());
  const at::Tensor host = at::empty({static_cast<std::int64_t>(bytes_.size())}, options);
  std::memcpy(host.data_ptr(), bytes_.data(), bytes_.size());
  sent_ = host.to(device, /*non_blocking=*/true);
}

at::Tensor Parcel::tensor(Slot slot, c10::ScalarType type) const {
  const auto bytes = static_cast<std::int64_t>(slot.count * c10::elementSize(type));
  return sent_.narrow(0, static_cast<std::int64_t>(slot.at), bytes).view(type);
}

const void* Parcel::address(Slot slot) const {
  return slot.count == 0 ? nullptr : static_cast<const std::byte*>(sent_.const_data_ptr()) + slot.at;
}

at::Tensor queued_to_host(const at::Tensor& t) {
  if (t.device().is_cpu()) return t;
  const at::Tensor host = at::empty(t.sizes(), at::TensorOptions(t.scalar_type()).pinned_memory(true));
  host.copy_(t, /*non_blocking=*/true);
  return host;
}

}  // namespace frugal::aten

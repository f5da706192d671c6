// Device: which device and element type a TorchOptions names. Opens LibTorch's CUDA library on demand, so that a
// CPU-only service never loads it.
#pragma once

#include <frugal/torch/backend.hpp>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

namespace frugal::aten {

struct Device {
  c10::Device device;
  c10::ScalarType compute;  ///< of weights, activations inside a layer, keys and values; the residual stream is fp32
  std::string name;         ///< "cpu", "cuda:0"

  bool is_cuda() const { return device.is_cuda(); }
};

/// Throws Error(invalid_argument) for unknown names, Error(unavailable) where the device is not there.
Device open_device(const TorchOptions& options);

}  // namespace frugal::aten

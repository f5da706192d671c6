// Where a TorchBackend runs and in which type it computes.
#pragma once

#include <frugal/torch/backend.hpp>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

#include "cuda/kernels.hpp"
#include "torch/recorder.hpp"

namespace frugal::aten {

class WeightSource;

struct Device {
  c10::Device device;
  c10::ScalarType compute;  ///< of weights, activations inside a layer, keys and values; the residual stream is fp32
  std::string name;         ///< "cpu", "cuda:0"
  const cuda::Kernels* kernels = nullptr;  ///< frugal's own; null = LibTorch's operations do all, draws are the host's

  MakeRecorder make_recorder = nullptr;   ///< null = no step is recorded
  bool paged = false;                     ///< attention reads pages where they lie, by `kernels`
  const WeightSource* weights = nullptr;  ///< null = what a model's tensors hold

  bool is_host() const { return device.is_cpu(); }
};

/// Throws Error(invalid_argument) for unknown names, Error(unavailable) where the device is not there.
Device open_device(const TorchOptions& options);

}  // namespace frugal::aten

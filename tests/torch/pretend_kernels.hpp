// frugal's kernels on the pretend device: their host twins, each with the device's memory unlocked while it runs.
#pragma once

#include "cuda/kernels.hpp"
#include "torch/pretend_device.hpp"

namespace frugal::testing {

const cuda::Kernels& pretend_kernels();

}  // namespace frugal::testing

// The backend over a device that is open already; torch_backend() opens one by name.
#pragma once

#include <frugal/backend/backend.hpp>

#include <memory>

#include "torch/device.hpp"

namespace frugal::aten {

std::unique_ptr<Backend> make_backend(Device device);

}  // namespace frugal::aten

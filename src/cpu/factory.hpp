// backend_with: cpu_backend on a chosen kernel table, so that tests can run every path of this machine.
#pragma once

#include "cpu/kernels/kernels.hpp"

#include <frugal/cpu/backend.hpp>

#include <memory>

namespace frugal::cpu {

std::unique_ptr<Backend> backend_with(const CpuOptions& options, const Kernels& kernels);

}  // namespace frugal::cpu

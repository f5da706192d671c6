// The kernel tables a test runs: those of this machine, and the software model of vpdpbusd and of the tile unit, so that
// the source of those kernels is tested on a machine that has neither.
#pragma once

#include "cpu/kernels/kernels.hpp"

#include <vector>

namespace frugal::testing {

/// The portable kernels with the products of vnni.hpp and tiles.hpp over their software models.
const cpu::Kernels& modelled_kernels();

inline std::vector<const cpu::Kernels*> tables() {
  const auto native = cpu::available_kernels();
  std::vector<const cpu::Kernels*> all(native.begin(), native.end());
  all.push_back(&modelled_kernels());
  return all;
}

}  // namespace frugal::testing

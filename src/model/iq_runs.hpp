// IQ1 to IQ3: blocks whose values are points of a grid (iq_grids.hpp). The reference formula and the CPU backend both
// read them through here.
#pragma once

#include <frugal/model/tensor.hpp>

#include <cstddef>
#include <cstdint>

namespace frugal::model {

/// 32 values of a block: value i is scale[i / 16] * q[i], one product in fp32.
struct GridRun {
  std::int8_t q[32];
  float scale[2];
};

FRUGAL_API bool has_grid(DType type) noexcept;

/// Values 32 * run to 32 * run + 31 of a block of 256. `type` has a grid. Compiled without contraction.
FRUGAL_API void read_grid_run(DType type, const std::uint8_t* block, std::size_t run, GridRun& out);

}  // namespace frugal::model

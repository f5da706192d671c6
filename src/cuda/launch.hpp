// The kernels of this room as they are launched; compiled by nvcc where FRUGAL_CUDA is on.
#pragma once

#include "cuda/draw.hpp"

#include <cstdint>

namespace frugal::cuda {

/// tokens[i] = the draw of rows[i], both in the device's memory. `stream` is a cudaStream_t. Does not wait. Returns a
/// cudaError_t, 0 = started.
int draw_rows(const DrawRow* rows, std::uint32_t count, std::int32_t* tokens, void* stream) noexcept;

}  // namespace frugal::cuda

// reference_backend: the decoder's formula written out with Eigen in fp32, one row at a time. Slow, obvious, the oracle
// of every other backend; batch-invariant because no row is ever computed beside another.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>

#include <memory>

namespace frugal {

/// Weights are dequantised to fp32 at add_model (4 bytes a parameter). Keys and values are fp32.
FRUGAL_API std::unique_ptr<Backend> reference_backend();

}  // namespace frugal

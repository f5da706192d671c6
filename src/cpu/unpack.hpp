// Unpacked: 32 consecutive weights of a row, in whichever storage format, as unsigned bytes with scales. The step
// between a file's blocks and the packed strips.
#pragma once

#include <frugal/model/tensor.hpp>

#include <cstddef>
#include <cstdint>

namespace frugal::cpu {

/// w[i] = scale[i / 16] * (q[i] - zero) + minimum[i / 16], where zero is 128 for the 8-bit formats and 0 for the
/// narrower ones.
/// A block of plain floats that are not all finite has NaN as its scale.
struct Unpacked {
  std::uint8_t q[32];
  float scale[2];
  float minimum[2];
};

/// Block `block` (32 values; the last one of a row of floats may be short) of a row stored as `type`.
void unpack_block(DType type, const std::byte* row, std::size_t block, std::size_t cols, Unpacked& out);

}  // namespace frugal::cpu

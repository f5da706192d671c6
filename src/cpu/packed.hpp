// PackedMatrix: a weight matrix as the kernels read it (see kernels/layout.hpp), and the way there from every storage
// format.
//
// Nothing is lost on the way but: scales of the K formats are products of two file numbers and are rounded once to fp16
// (relative error at most 2^-12); plain floats become 8-bit blocks of 32 where that is asked for. A view: the bytes
// belong to whoever packed them.
#pragma once

#include "cpu/kernels/layout.hpp"

#include <frugal/cpu/backend.hpp>
#include <frugal/model/tensor.hpp>

#include <cstddef>
#include <cstdint>

namespace frugal::cpu {

struct PackedMatrix {
  Format format{};
  std::uint32_t rows = 0, cols = 0;
  std::uint32_t blocks = 0;  ///< along a row; inputs are padded with zeros
  std::uint32_t strips = 0;  ///< rows / 16, rounded up; missing rows are zero
  const std::uint8_t* data = nullptr;

  std::size_t strip_bytes() const { return (blocks * format_shape(format).block_bytes() + 63) / 64 * 64; }
  std::size_t bytes() const { return strip_bytes() * strips; }
  StripView strip(std::uint32_t index) const {
    const std::uint8_t* quants = data + index * strip_bytes();
    const std::uint8_t* scales = quants + blocks * format_shape(format).quant_bytes;
    return {format, blocks, quants, reinterpret_cast<const std::uint16_t*>(scales)};
  }
};

Format packed_format(DType type, FloatWeights floats = FloatWeights::kept);

/// The matrix `tensor` becomes; `data` is still null, bytes() says how much room it needs (64-byte aligned).
PackedMatrix packed_shape(const Tensor& tensor, FloatWeights floats = FloatWeights::kept);

/// Fills strips [first, last) of `shape` at `to` = start of strip 0. Strips are independent: call from several threads.
/// False where a scale or a plain weight is not a finite number, so that products with it would not be either.
bool pack_strips(const Tensor& tensor, const PackedMatrix& shape, std::uint32_t first, std::uint32_t last,
                 std::uint8_t* to);

}  // namespace frugal::cpu

#include "cpu/packed.hpp"

#include "cpu/unpack.hpp"
#include "model/half.hpp"

#include <algorithm>
#include <cstring>

namespace frugal::cpu {
namespace {

void place_quants(const Unpacked& from, Format format, std::size_t row, std::uint8_t* block) {
  if (is_offset(format)) {
    for (std::size_t j = 0; j < 8; ++j) std::memcpy(block + 64 * j + 4 * row, from.q + 4 * j, 4);
    return;
  }
  std::uint8_t both[16], fifth[4] = {};
  for (std::size_t i = 0; i < 16; ++i) both[i] = static_cast<std::uint8_t>((from.q[i] & 15) | from.q[i + 16] << 4);
  for (std::size_t j = 0; j < 4; ++j) std::memcpy(block + 64 * j + 4 * row, both + 4 * j, 4);
  if (format != Format::q5) return;
  for (std::size_t i = 0; i < 32; ++i) fifth[i % 4] = static_cast<std::uint8_t>(fifth[i % 4] | from.q[i] >> 4 << i / 4);
  std::memcpy(block + 256 + 4 * row, fifth, 4);
}

/// scales: [sub-block][d], then [sub-block][m], 16 rows each. False where one is not a finite number.
bool place_scales(const Unpacked& from, FormatShape shape, std::size_t row, std::uint16_t* scales) {
  bool finite = true;
  const auto place = [&](std::size_t index, float value) {
    scales[index * strip_rows + row] = model::float_to_half(value);
    finite &= (scales[index * strip_rows + row] & 0x7C00U) != 0x7C00U;
  };
  for (std::size_t s = 0; s < shape.subs; ++s) {
    place(s, from.scale[s]);
    if (shape.minimum) place(shape.subs + s, from.minimum[s]);
  }
  return finite;
}

}  // namespace

Format packed_format(DType type) {
  switch (type) {
    case DType::q4_0:
    case DType::q4_1:
    case DType::q4_k:
      return Format::q4;
    case DType::q2_k:
    case DType::q3_k:
      return Format::q4_half;
    case DType::q5_0:
    case DType::q5_1:
    case DType::q5_k:
      return Format::q5;
    case DType::q6_k:
    case DType::iq2_xs:
    case DType::iq2_s:
    case DType::iq1_m:
      return Format::q8_half;
    default:
      return Format::q8;
  }
}

PackedMatrix packed_shape(const Tensor& tensor) {
  PackedMatrix m;
  m.format = packed_format(tensor.type);
  m.rows = static_cast<std::uint32_t>(tensor.rows);
  m.cols = static_cast<std::uint32_t>(tensor.cols);
  m.blocks = (m.cols + 31) / 32;
  m.strips = (m.rows + 15) / 16;
  return m;
}

bool pack_strips(const Tensor& tensor, const PackedMatrix& shape, std::uint32_t first, std::uint32_t last,
                 std::uint8_t* to) {
  const FormatShape format = format_shape(shape.format);
  PackedMatrix target = shape;
  bool finite = true;
  target.data = to;
  for (std::uint32_t s = first; s < last; ++s) {
    const StripView view = target.strip(s);
    auto* quants = const_cast<std::uint8_t*>(view.quants);  // of `to`, which is ours to write
    auto* scales = const_cast<std::uint16_t*>(view.scales);
    std::memset(quants, 0, target.strip_bytes());
    const std::size_t rows = std::min<std::size_t>(strip_rows, shape.rows - s * strip_rows);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::byte* row = tensor.row(s * strip_rows + r).data();
      Unpacked unpacked;
      for (std::uint32_t b = 0; b < shape.blocks; ++b) {
        unpack_block(tensor.type, row, b, shape.cols, unpacked);
        place_quants(unpacked, shape.format, r, quants + b * format.quant_bytes);
        finite &= place_scales(unpacked, format, r, scales + b * format.scale_halves());
      }
    }
  }
  return finite;
}

}  // namespace frugal::cpu

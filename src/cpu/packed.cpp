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

/// A strip's rows of plain floats of type Bits, input after input; missing rows are zero. False where one is not finite:
/// all bits of `exponent` are set.
template <class Bits>
bool place_floats(const Tensor& tensor, std::uint32_t strip, Bits exponent, std::uint8_t* to) {
  const bool paired = tensor.type == DType::bf16;
  const std::size_t first = strip * strip_rows, rows = std::min<std::size_t>(strip_rows, tensor.rows - first);
  bool finite = true;
  for (std::size_t c = 0; c < tensor.cols; c += block_inputs) {
    const std::size_t count = std::min<std::size_t>(block_inputs, tensor.cols - c);
    Bits block[block_inputs * strip_rows] = {};
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t place = paired ? r % 8 * 2 + r / 8 : r;
      Bits row[block_inputs];
      std::memcpy(row, tensor.row(first + r).data() + c * sizeof(Bits), count * sizeof(Bits));
      for (std::size_t i = 0; i < count; ++i) {
        block[i * strip_rows + place] = row[i];
        finite &= (row[i] & exponent) != exponent;
      }
    }
    std::memcpy(to + c * strip_rows * sizeof(Bits), block, sizeof block);
  }
  return finite;
}

bool pack_floats(const Tensor& tensor, const PackedMatrix& target, std::uint32_t strip) {
  auto* to = const_cast<std::uint8_t*>(target.strip(strip).quants);  // ours to write, as below
  if (target.format == Format::f32) return place_floats<std::uint32_t>(tensor, strip, 0x7F800000U, to);
  return place_floats<std::uint16_t>(tensor, strip, target.format == Format::f16 ? 0x7C00 : 0x7F80, to);
}

}  // namespace

Format packed_format(DType type, FloatWeights floats) {
  if (block_shape(type).values == 1 && floats == FloatWeights::kept)
    return type == DType::f32 ? Format::f32 : type == DType::f16 ? Format::f16 : Format::bf16;
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

PackedMatrix packed_shape(const Tensor& tensor, FloatWeights floats) {
  PackedMatrix m;
  m.format = packed_format(tensor.type, floats);
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
    if (is_plain(shape.format)) {
      finite &= pack_floats(tensor, target, s);
      continue;
    }
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

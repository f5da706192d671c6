// Matrices that stay quantised on the device: GGUF's blocks of 32 values, with quants and scales in arrays of their own,
// so that neighbouring threads read whole words next to each other. And products of few rows with them.
#pragma once

#include "cuda/numbers.hpp"

#include <cstddef>
#include <cstdint>

namespace frugal::cuda {

/// `plain`: not quantised, values of the compute type; for experts.hpp.
enum class Packing : std::uint8_t { q8_0, q4_0, q4_1, plain };

inline constexpr std::uint32_t packed_values = 32;

/// Bytes of a block's quants: 32 signed bytes, or 16 bytes of which byte i holds value i in its low half and value i + 16
/// in its high half.
FRUGAL_DEVICE std::uint32_t quant_bytes(Packing p) { return p == Packing::q8_0 ? 32 : 16; }
/// Bytes of a block in a file: a half of scale, for q4_1 a half of minimum, then the quants.
FRUGAL_DEVICE std::uint32_t block_bytes(Packing p) { return quant_bytes(p) + (p == Packing::q4_1 ? 4 : 2); }

/// Pointers are the device's; blocks are numbered row by row.
struct PackedMatrix {
  const std::uint8_t* quants = nullptr;  ///< [blocks, quant_bytes], aligned to 16; `plain`: the values
  const Half* scales = nullptr;          ///< [blocks]
  const Half* minimums = nullptr;        ///< [blocks], of q4_1
  std::uint64_t rows = 0;
  std::uint32_t cols = 0;  ///< whole blocks
  Packing packing = Packing::q8_0;

  FRUGAL_DEVICE std::uint64_t row_blocks() const { return cols / packed_values; }
};

/// Rows from `first` on.
inline PackedMatrix slice(PackedMatrix m, std::uint64_t first, std::uint64_t rows) {
  const std::uint64_t skipped = first * m.row_blocks();
  m.quants += skipped * quant_bytes(m.packing), m.scales += skipped;
  if (m.minimums != nullptr) m.minimums += skipped;
  m.rows = rows;
  return m;
}

/// From a file's blocks to the three arrays.
inline void repack(Packing packing, const std::byte* blocks, std::uint64_t count, std::byte* quants, std::byte* scales,
                   std::byte* minimums) {
  const std::size_t bytes = quant_bytes(packing), skipped = packing == Packing::q4_1 ? 4 : 2;
  for (std::uint64_t i = 0; i < count; ++i, blocks += skipped + bytes) {
    memcpy(scales + 2 * i, blocks, 2);
    if (packing == Packing::q4_1) memcpy(minimums + 2 * i, blocks + 2, 2);
    memcpy(quants + i * bytes, blocks + skipped, bytes);
  }
}

namespace packed {

struct Words {
  std::uint32_t w[4];
};
/// 16 bytes, aligned.
FRUGAL_DEVICE Words words_at(const void* p) {
  Words words;
#if defined(__CUDA_ARCH__)
  const uint4 v = *static_cast<const uint4*>(p);
  words = {{v.x, v.y, v.z, v.w}};
#else
  memcpy(&words, p, sizeof words);
#endif
  return words;
}

/// Eight values of an array, aligned to 16 bytes.
FRUGAL_DEVICE void eight(const float* x, float* out) {
  const Words a = words_at(x), b = words_at(x + 4);
  for (int i = 0; i < 4; ++i) out[i] = float_of(a.w[i]), out[4 + i] = float_of(b.w[i]);
}
template <class T>
FRUGAL_DEVICE void eight(const T* x, float* out) {
  const Words a = words_at(x);
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = to_float(T{static_cast<std::uint16_t>(a.w[i])});
    out[2 * i + 1] = to_float(T{static_cast<std::uint16_t>(a.w[i] >> 16)});
  }
}

/// One block of a matrix, its quants in registers.
template <Packing P>
struct Opened {
  float d, m;
  Words low, high;  // high: of q8_0 only

  FRUGAL_DEVICE Opened(const PackedMatrix& w, std::uint64_t block)
      : d(to_float(w.scales[block])),
        m(P == Packing::q4_1 ? to_float(w.minimums[block]) : 0.0F),
        low(words_at(w.quants + block * quant_bytes(P))),
        high(P == Packing::q8_0 ? words_at(w.quants + block * quant_bytes(P) + 16) : low) {}

  /// Value i, as dequantize() has it.
  FRUGAL_DEVICE float value(std::uint32_t i) const {
    if (P == Packing::q8_0) {
      const std::uint32_t word = i < 16 ? low.w[i / 4] : high.w[i / 4 - 4];
      return multiplied(d, static_cast<float>(static_cast<std::int8_t>(word >> i % 4 * 8)));
    }
    const auto nibble = static_cast<int>(low.w[i % 16 / 4] >> (i % 4 * 8 + i / 16 * 4) & 15U);
    if (P == Packing::q4_0) return multiplied(d, static_cast<float>(nibble - 8));
    return added(multiplied(d, static_cast<float>(nibble)), m);
  }
};

/// How a product reads a quantised matrix.
template <Packing P>
struct Quantised {
  static constexpr std::uint32_t values = packed_values;
  using Unit = Opened<P>;
};

}  // namespace packed

/// out[i, :] = row ids[i] (or i) of the matrix, in the compute type. One thread a block of 32 values.
struct Unpack {
  PackedMatrix matrix{};
  const std::int64_t* ids = nullptr;  ///< [rows]; null = the first rows
  void* out = nullptr;                ///< [rows, cols]
  std::uint64_t rows = 0;
};

inline constexpr std::uint32_t unpack_threads = 256;

template <class T, Packing P>
FRUGAL_DEVICE void unpack_blocks(const Block& block, const Unpack& u, std::uint64_t number) {
  const std::uint64_t in_row = u.matrix.row_blocks(), all = in_row * u.rows;
  block.each([&](std::uint32_t t) {
    const std::uint64_t n = number * unpack_threads + t;
    if (n >= all) return;
    const std::uint64_t row = n / in_row, source = u.ids == nullptr ? row : static_cast<std::uint64_t>(u.ids[row]);
    const packed::Opened<P> opened(u.matrix, source * in_row + n % in_row);
    T* const out = static_cast<T*>(u.out) + n * packed_values;
    FRUGAL_UNROLLED
    for (std::uint32_t i = 0; i < packed_values; ++i) out[i] = rounded<T>(opened.value(i));
  });
}

/// y = x W^T for few rows of x: every block of W is read and expanded once for all of them. One warp an output feature.
///
/// The rule, bit for bit: lane l takes the blocks l, l + 32, ... of the feature's row and adds w * x to its sum, value
/// after value, product and sum rounded once together; the lanes' sums are added in their order.
struct PackedProduct {
  PackedMatrix matrix{};
  const void* x = nullptr;  ///< [rows, cols] in the compute type, aligned to 16
  void* y = nullptr;        ///< [rows, matrix.rows] in the compute type
  std::uint32_t rows = 0;   ///< 1 .. product_rows
};

inline constexpr std::uint32_t product_rows = 8, product_threads = 128, product_features = product_threads / warp;

struct ProductShared {
  float partial[product_rows][product_threads];
};

namespace packed {

/// Features from `first` on, one a warp, before `end`.
struct Features {
  std::uint64_t first, end;
};

/// s.partial[r][t] = the share of thread t in the product of its warp's feature with row r, which begins at row(r).
template <class Weights, std::uint32_t Rows, class Row>
FRUGAL_DEVICE void multiply(const Block& block, const PackedMatrix& w, Features features, Row row, ProductShared& s) {
  block.each([&](std::uint32_t t) {
    const std::uint64_t feature = features.first + t / warp, units = w.cols / Weights::values;
    float sums[Rows] = {};
    const auto add = [&](std::uint64_t n) {
      const typename Weights::Unit unit(w, feature * units + n);
      FRUGAL_UNROLLED
      for (std::uint32_t first = 0; first < Weights::values; first += 8) {
        float values[8], inputs[8];
        FRUGAL_UNROLLED
        for (std::uint32_t i = 0; i < 8; ++i) values[i] = unit.value(first + i);
        FRUGAL_UNROLLED
        for (std::uint32_t r = 0; r < Rows; ++r) {
          eight(row(r) + n * Weights::values + first, inputs);
          FRUGAL_UNROLLED
          for (std::uint32_t i = 0; i < 8; ++i) sums[r] = fused(values[i], inputs[i], sums[r]);
        }
      }
    };
    const std::uint64_t end = feature < features.end ? units : 0;
    if constexpr (Weights::values == 8 && Rows == 8) {
      FRUGAL_ROLLED
      for (std::uint64_t n = t % warp; n < end; n += warp) add(n);
    } else {
      for (std::uint64_t n = t % warp; n < end; n += warp) add(n);
    }
    for (std::uint32_t r = 0; r < Rows; ++r) s.partial[r][t] = sums[r];
  });
}

/// The product of feature first + which with a row, of what multiply() left.
FRUGAL_DEVICE float product_of(const ProductShared& s, std::uint32_t row, std::uint32_t which) {
  float sum = s.partial[row][which * warp];
  for (std::uint32_t lane = 1; lane < warp; ++lane) sum = added(sum, s.partial[row][which * warp + lane]);
  return sum;
}

}  // namespace packed

/// `block` has product_threads; a.rows is at most Rows.
template <class T, Packing P, std::uint32_t Rows>
FRUGAL_DEVICE void packed_product(const Block& block, const PackedProduct& a, std::uint64_t number, ProductShared& s) {
  const PackedMatrix& w = a.matrix;
  const T* const x = static_cast<const T*>(a.x);
  // Where row r begins; rows that are not there repeat the first.
  const auto row = [&](std::uint32_t r) { return x + static_cast<std::size_t>(r < a.rows ? r : 0) * w.cols; };
  packed::multiply<packed::Quantised<P>, Rows>(block, w, {number * product_features, w.rows}, row, s);
  block.each([&](std::uint32_t t) {
    const std::uint32_t r = t / product_features, which = t % product_features;
    const std::uint64_t feature = number * product_features + which;
    if (r >= a.rows || feature >= w.rows) return;
    static_cast<T*>(a.y)[static_cast<std::uint64_t>(r) * w.rows + feature] =
        rounded<T>(packed::product_of(s, r, which));
  });
}

}  // namespace frugal::cuda

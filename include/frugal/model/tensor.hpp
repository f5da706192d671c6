// Tensor: a named, typed view of weights inside a mapped file. Owns nothing; lives as long as its Model.
#pragma once

#include <frugal/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace frugal {

/// Storage formats. The quantised ones are GGUF's: blocks of 32 or 256 values along a row.
enum class DType : std::uint8_t {
  f32,
  f16,
  bf16,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  iq2_xxs,
  iq2_xs,
  iq2_s,
  iq3_xxs,
  iq3_s,
  iq1_s,
  iq1_m
};

FRUGAL_API std::string_view to_string(DType type) noexcept;

struct BlockShape {
  std::uint32_t values;  ///< values in one block along a row (1 for plain floats)
  std::uint32_t bytes;   ///< bytes of one block
};
FRUGAL_API BlockShape block_shape(DType type) noexcept;

struct Tensor {
  std::string name;
  DType type{};
  std::uint64_t rows = 1;             ///< output features; 1 for a vector
  std::uint64_t cols = 0;             ///< input features: contiguous, a whole number of blocks
  std::span<const std::byte> data{};  ///< rows * row_bytes()
  bool mapped = false;                ///< data lies in a file's mapping: its pages, given back, come again when read

  std::uint64_t row_bytes() const noexcept { return cols / block_shape(type).values * block_shape(type).bytes; }
  std::span<const std::byte> row(std::uint64_t r) const { return data.subspan(r * row_bytes(), row_bytes()); }
};

/// Expands `out.size()` values from `data` (whole blocks). The reference formula of each format, exact in fp32; a few
/// GB/s.
FRUGAL_API void dequantize(DType type, std::span<const std::byte> data, std::span<float> out);

/// The same for rows [first, first + count) of a tensor into [count, cols].
FRUGAL_API void dequantize_rows(const Tensor& tensor, std::uint64_t first, std::uint64_t count, std::span<float> out);

}  // namespace frugal

// What the kernels' tests share: normal numbers, a random matrix as the kernels read it, and equality of bits.
#pragma once

#include "cpu/memory.hpp"
#include "cpu/packed.hpp"
#include "support/tiny_model.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

namespace frugal::testing {

inline std::vector<float> normal_values(std::size_t n, unsigned seed, float deviation = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> v(n);
  for (auto& x : v) x = normal(random);
  return v;
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// A random tensor, packed.
struct Weight {
  std::vector<std::byte> data;
  Tensor tensor;
  cpu::PackedMatrix matrix;
  cpu::HugeBuffer buffer;

  Weight(DType type, std::uint32_t rows, std::uint32_t cols, FloatWeights floats = FloatWeights::kept)
      : data(random_blocks(type, std::uint64_t{rows} * cols, 0.05F, 5)),
        tensor{"w", type, rows, cols, data},
        matrix(cpu::packed_shape(tensor, floats)),
        buffer(matrix.bytes()) {
    cpu::pack_strips(tensor, matrix, 0, matrix.strips, buffer.data());
    matrix.data = buffer.data();
  }
};

}  // namespace frugal::testing

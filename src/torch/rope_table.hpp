// RopeTable: the cosines and sines of all positions so far, on the device. They are computed in double on the host, once
// a position, and a step picks its rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace frugal::aten {

class RopeTable {
 public:
  /// `frequencies` [rope_dims / 2]; both values are multiplied by `scale`.
  RopeTable(std::vector<double> frequencies, float scale, c10::Device device);

  /// Makes sure that there are `positions` of them. What is missing is computed and sent, at least as many as there are;
  /// true where the table lies elsewhere now.
  bool cover(std::int64_t positions);
  /// [rows, 1, rope_dims / 2] each, for the positions [rows] of a step.
  struct Angles {
    at::Tensor cos, sin;
  };
  Angles at(const at::Tensor& positions) const;
  /// fp32 [positions, 2, rope_dims / 2], contiguous.
  const at::Tensor& table() const { return table_; }

 private:
  std::vector<double> frequencies_;
  float scale_;
  c10::Device device_;
  at::Tensor table_;  // fp32 [positions, 2, rope_dims / 2]
};

}  // namespace frugal::aten

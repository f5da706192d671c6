// The operations of a decoder that have a kernel of frugal's own: where the device has kernels they run, else LibTorch's
// operations do the same.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "torch/attention.hpp"
#include "torch/device.hpp"
#include "torch/lane.hpp"
#include "torch/weights.hpp"

namespace frugal::aten {

/// Packed matrices are expanded so many elements at a time.
inline constexpr std::int64_t expanded_elements = std::int64_t{1} << 26;

class Ops {
 public:
  Ops(const Device& device, const Lane& lane) : device_(device), lane_(lane) {}

  /// h [rows, cols] W^T + bias (where defined). Packed matrices: a kernel for few rows, else expanded for this call.
  at::Tensor linear(const at::Tensor& h, const Matrix& w, const at::Tensor& bias = {}) const;
  /// Rows of a matrix by their numbers, [ids, cols].
  at::Tensor rows(const Matrix& w, const at::Tensor& ids) const;

  /// RMSNorm of the residual stream, in the compute type.
  at::Tensor norm(const at::Tensor& x, const at::Tensor& gain, float eps) const;
  /// x += y first. `x` is changed in place where kernels do it, else replaced.
  at::Tensor add_norm(at::Tensor& x, const at::Tensor& y, const at::Tensor& gain, float eps) const;

  /// Whether rope_append() does this decoder's heads.
  bool has_rope_append(const DecoderSpec& spec) const;
  /// What the kernel reads beside the product of the projections.
  struct RopeInputs {
    const at::Tensor& pages;      // [rows]
    const at::Tensor& slots;      // [rows]
    const at::Tensor& positions;  // [rows]
    const at::Tensor& angles;     // the table of all positions
    const at::Tensor& gain;       // of the heads' norms, or undefined
  };
  /// Norms and turns queries and keys, stores keys and values; returns the queries [rows, heads, head_dim].
  at::Tensor rope_append(const at::Tensor& qkv, const RopeInputs& in, const DecoderSpec& spec, const KvView& kv,
                         std::int64_t layer) const;

  /// Which experts rows pass, on the device.
  struct Routing {
    at::Tensor chosen, weights;  // int32 and fp32 [rows, used]
    at::Tensor order, tiles;     // of cuda::Route
    std::int64_t rows = 0;
  };
  /// Whether a step of so many rows needs no host to pass its experts.
  bool has_experts(const GatedWeights& experts, const ExpertsSpec& spec, std::int64_t rows) const;
  /// `scores` fp32 [rows, experts].
  Routing route(const at::Tensor& scores, const ExpertsSpec& spec) const;
  /// For every choice the product of its row with its expert's part of `w`, [rows * used, features]. `h` has a row for
  /// each of the step, or for each choice.
  at::Tensor expert_linear(const at::Tensor& h, const Matrix& w, const Routing& routing, const ExpertsSpec& spec) const;

 private:
  at::Tensor product(const at::Tensor& h, const Matrix& w) const;
  at::Tensor expanded_product(const at::Tensor& h, const Matrix& w) const;
  at::Tensor unpacked(const cuda::PackedMatrix& w, std::int64_t rows, const std::int64_t* ids) const;
  cuda::Element element() const;
  void started(int status, const char* what) const;

  const Device& device_;
  const Lane& lane_;
};

}  // namespace frugal::aten

// Weights: a model on the device. Projections that read the same input are one matrix: q|k|v and gate|up. Where frugal's
// kernels are, Q8_0, Q4_0 and Q4_1 stay quantised; all else is in the compute type.
#pragma once

#include <frugal/model/model.hpp>

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "cuda/packed.hpp"
#include "torch/device.hpp"

namespace frugal::aten {

/// One matrix [rows, cols], in the compute type or packed.
struct Matrix {
  at::Tensor dense;   // [rows, cols]; undefined where packed
  at::Tensor packed;  // bytes: quants of all rows, then scales, then minimums where there are any
  cuda::Packing packing = cuda::Packing::plain;
  std::int64_t rows = 0, cols = 0;
  std::int64_t first = 0, whole = 0;  // packed: it is the rows from `first` on of so many

  bool is_packed() const { return packed.defined(); }
  /// Not packed ones: cols a multiple of 8.
  cuda::PackedMatrix for_kernels() const;
  Matrix part(std::int64_t first_row, std::int64_t count) const;
};

/// The three arrays of a packed matrix, as bytes of its one tensor: where they begin.
struct PackedParts {
  std::int64_t quants, scales, minimums;
  explicit PackedParts(const Matrix& m);
};

/// Where a model's arrays on the device come from: by default the bytes of its tensors. Bring your own to measure a shape
/// without uploading it. Asked once for each array, on the thread that adds the model, on the backend's stream; lives as
/// long as the backends made with it. Arrays that it hands out are only read, so several may be the same memory.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Rows of these tensors one below the other, as [rows, cols] of the type on the device.
  virtual at::Tensor dense(const std::vector<const Tensor*>& parts, c10::Device device, c10::ScalarType type) const = 0;
  /// The bytes of a packed matrix (`packed` of `m`, whose other members are set) with these rows.
  virtual at::Tensor packed(const Matrix& m, const std::vector<const Tensor*>& parts, c10::Device device) const = 0;
};

struct GatedWeights {
  Matrix gate_up, down;  // [2 d_ff, d_model], [d_model, d_ff]
};

struct LayerWeights {
  at::Tensor attn_norm, ffn_norm;  // fp32 [d_model]
  Matrix qkv;                      // [q_width + 2 kv_width, d_model]
  at::Tensor qkv_bias;             // undefined where there is none
  at::Tensor qk_gain;              // fp32 [heads + kv_heads, head_dim], undefined where there is no qk_norm
  Matrix output;                   // [d_model, q_width]
  GatedWeights ffn;                // undefined where there are experts
  at::Tensor post_attention_norm, post_ffw_norm;  // fp32 [d_model], undefined where there are none
  at::Tensor router;       // fp32 [experts, d_model]: rounding it would change choices; undefined where there are none
  GatedWeights experts;    // of all experts, one below the other
  GatedWeights shared;     // of the expert that every row passes
  at::Tensor shared_gate;  // fp32 [1, d_model]
};

inline constexpr std::size_t load_piece_bytes = std::size_t{16} << 20;

struct Weights {
  Matrix embedding;        // [vocab, d_model]
  at::Tensor output_norm;  // fp32 [d_model]
  Matrix head;             // [vocab, d_model]; the embedding itself where tied
  std::vector<LayerWeights> layers;
};

struct LoadedWeights {
  std::shared_ptr<const Model> model;
  Weights weights;
};

/// The same tensors for every backend of the process that runs this Model object on this device in this type.
std::shared_ptr<const LoadedWeights> shared_weights(std::shared_ptr<const Model> model, const Device& device);

/// Beside the file's own bytes the host holds one piece of a matrix at a time, `load_piece_bytes` in fp32.
Weights load_weights(const Model& model, const Device& device);

}  // namespace frugal::aten

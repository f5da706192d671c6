#include "torch/weights.hpp"

#include "backend/prepared.hpp"

#include <frugal/core/error.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace frugal::aten {
namespace {

using Parts = std::initializer_list<std::string_view>;

std::int64_t wide(std::uint64_t n) { return static_cast<std::int64_t>(n); }

/// The tensor's bytes as they are, [rows, row bytes], on the host.
at::Tensor bytes_of(const Tensor& t, std::uint64_t first, std::uint64_t count) {
  void* const data = const_cast<std::byte*>(t.row(first).data());
  return at::from_blob(data, {wide(count), wide(t.row_bytes())}, at::TensorOptions(at::kByte));
}

/// The LibTorch type of plain floats.
std::optional<c10::ScalarType> plain(DType type) {
  switch (type) {
    case DType::f32:
      return c10::ScalarType::Float;
    case DType::f16:
      return c10::ScalarType::Half;
    case DType::bf16:
      return c10::ScalarType::BFloat16;
    default:
      return std::nullopt;
  }
}

/// Rows [first, first + count) in fp32, on all threads that LibTorch may use.
at::Tensor expanded(const Tensor& t, std::uint64_t first, std::uint64_t count) {
  const at::Tensor out = at::empty({wide(count), wide(t.cols)}, at::TensorOptions(at::kFloat));
  float* const to = out.data_ptr<float>();
  at::parallel_for(0, wide(count), 16, [&](std::int64_t begin, std::int64_t end) {
    const auto at = static_cast<std::uint64_t>(begin), n = static_cast<std::uint64_t>(end - begin);
    dequantize_rows(t, first + at, n, {to + at * t.cols, n * t.cols});
  });
  return out;
}

/// Files need not align their tensors.
at::Tensor aligned(const at::Tensor& bytes, c10::ScalarType type) {
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.const_data_ptr());
  return address % c10::elementSize(type) == 0 ? bytes : bytes.clone();
}

/// Fills [rows, cols] on the device, piece by piece. Plain floats travel as the file has them.
void fill(const at::Tensor& to, const Tensor& t) {
  const std::uint64_t piece = std::max<std::uint64_t>(1, load_piece_bytes / (t.cols * sizeof(float)));
  for (std::uint64_t first = 0; first < t.rows; first += piece) {
    const std::uint64_t count = std::min(piece, t.rows - first);
    const at::Tensor part = to.narrow(0, wide(first), wide(count));
    if (const auto type = plain(t.type))
      part.copy_(aligned(bytes_of(t, first, count), *type).to(to.device()).view(*type));
    else
      part.copy_(expanded(t, first, count).to(to.scalar_type()));
  }
}

std::optional<cuda::Packing> packing_of(DType type) {
  switch (type) {
    case DType::q8_0:
      return cuda::Packing::q8_0;
    case DType::q4_0:
      return cuda::Packing::q4_0;
    case DType::q4_1:
      return cuda::Packing::q4_1;
    default:
      return std::nullopt;
  }
}

std::uint64_t packed_bytes(cuda::Packing packing, std::uint64_t blocks) { return blocks * cuda::block_bytes(packing); }

/// A tensor's blocks, the first of which is the matrix's block `first`, piece by piece.
void fill_packed(const Matrix& m, const Tensor& t, std::uint64_t first) {
  const PackedParts parts(m);
  const bool minimums = m.packing == cuda::Packing::q4_1;
  const std::uint64_t bytes = cuda::quant_bytes(m.packing), all = t.rows * t.cols / cuda::packed_values;
  const std::uint64_t piece = load_piece_bytes / bytes;
  const auto host = [](std::uint64_t n) { return at::empty({wide(n)}, at::TensorOptions(at::kByte)); };
  const auto memory = [](const at::Tensor& x) { return static_cast<std::byte*>(x.data_ptr()); };
  for (std::uint64_t at = 0; at < all; at += piece) {
    const std::uint64_t count = std::min(piece, all - at);
    const at::Tensor q = host(count * bytes), d = host(2 * count), least = host(minimums ? 2 * count : 0);
    cuda::repack(m.packing, t.data.data() + at * cuda::block_bytes(m.packing), count, memory(q), memory(d),
                 memory(least));
    const auto send = [&](std::int64_t begin, std::uint64_t width, const at::Tensor& from) {
      m.packed.narrow(0, begin + wide((first + at) * width), from.size(0)).copy_(from);
    };
    send(parts.quants, bytes, q);
    send(parts.scales, 2, d);
    if (minimums) send(parts.minimums, 2, least);
  }
}

/// What the tensors of a model hold.
class OwnBytes final : public WeightSource {
 public:
  at::Tensor dense(const std::vector<const Tensor*>& parts, c10::Device device, c10::ScalarType type) const override {
    std::uint64_t rows = 0;
    for (const Tensor* t : parts) rows += t->rows;
    const at::Tensor out = at::empty({wide(rows), wide(parts.front()->cols)}, at::TensorOptions(type).device(device));
    std::int64_t next = 0;
    for (const Tensor* t : parts) {
      fill(out.narrow(0, next, wide(t->rows)), *t);
      next += wide(t->rows);
    }
    return out;
  }

  at::Tensor packed(const Matrix& m, const std::vector<const Tensor*>& parts, c10::Device device) const override {
    Matrix to = m;
    const auto options = at::TensorOptions(at::kByte).device(device);
    to.packed = at::empty({wide(packed_bytes(m.packing, static_cast<std::uint64_t>(m.rows * m.cols / 32)))}, options);
    std::uint64_t next = 0;
    for (const Tensor* t : parts) {
      fill_packed(to, *t, next);
      next += t->rows * t->cols / cuda::packed_values;
    }
    return to.packed;
  }
};

const WeightSource& source(const Device& device) {
  static const OwnBytes own;
  return device.weights != nullptr ? *device.weights : own;
}

/// Packed where there are kernels for it and all parts are of one type.
Matrix load_matrix(const std::vector<const Tensor*>& parts, const Device& device) {
  Matrix m;
  for (const Tensor* t : parts) m.rows += wide(t->rows);
  m.cols = wide(parts.front()->cols);
  const DType type = parts.front()->type;
  const bool alike = std::all_of(parts.begin(), parts.end(), [&](const Tensor* t) { return t->type == type; });
  const auto packing = packing_of(type);
  if (device.kernels == nullptr || !packing || !alike) {
    m.dense = source(device).dense(parts, device.device, device.compute);
    return m;
  }
  m.packing = *packing, m.whole = m.rows;
  m.packed = source(device).packed(m, parts, device.device);
  return m;
}

/// Loads one layer's tensors by part name.
class Layer {
 public:
  Layer(const Model& model, std::uint32_t layer, const Device& device)
      : model_(model), layer_(layer), device_(device) {}

  Matrix matrix(Parts parts) const {
    std::vector<const Tensor*> tensors;
    for (const std::string_view part : parts) tensors.push_back(&need(part, false));
    return load_matrix(tensors, device_);
  }

  /// These parts of the first expert, below them those of the second, and so on.
  Matrix experts(Parts parts, std::uint32_t count) const {
    std::vector<const Tensor*> tensors;
    for (std::uint32_t e = 0; e < count; ++e)
      for (const std::string_view part : parts) tensors.push_back(model_.expert(layer_, part, e));
    return load_matrix(tensors, device_);
  }

  at::Tensor floats(std::string_view part) const {
    return source(device_).dense({&need(part, false)}, device_.device, at::kFloat);
  }

  at::Tensor vector(std::string_view part, c10::ScalarType type, bool bias = false) const {
    return source(device_).dense({&need(part, bias)}, device_.device, type).reshape(-1);
  }

 private:
  const Tensor& need(std::string_view part, bool bias) const {
    const Tensor* t = model_.layer(layer_, part, bias);
    if (t == nullptr) {
      throw Error(Errc::bad_model, "torch: layer " + std::to_string(layer_) + " has no " + std::string(part));
    }
    return *t;
  }

  const Model& model_;
  std::uint32_t layer_;
  const Device& device_;
};

/// One gain a head, so that queries and keys are normalised in one operation.
at::Tensor head_gains(const DecoderSpec& spec, const Layer& layer) {
  const auto gain = [&](std::string_view part, std::uint32_t heads) {
    return layer.vector(part, at::kFloat).unsqueeze(0).expand({heads, spec.head_dim});
  };
  return at::cat({gain("attn_q_norm", spec.heads), gain("attn_k_norm", spec.kv_heads)});
}

void load_experts(const ExpertsSpec& experts, const Layer& layer, LayerWeights& w) {
  w.router = layer.floats("ffn_gate_inp");
  w.experts = {layer.experts({"ffn_gate", "ffn_up"}, experts.count), layer.experts({"ffn_down"}, experts.count)};
  if (experts.shared_d_ff == 0) return;
  w.shared = {layer.matrix({"ffn_gate_shexp", "ffn_up_shexp"}), layer.matrix({"ffn_down_shexp"})};
  w.shared_gate = layer.floats("ffn_gate_inp_shexp");
}

LayerWeights load_layer(const DecoderSpec& spec, const Layer& layer, c10::ScalarType compute) {
  LayerWeights w;
  w.attn_norm = layer.vector("attn_norm", at::kFloat), w.ffn_norm = layer.vector("ffn_norm", at::kFloat);
  w.qkv = layer.matrix({"attn_q", "attn_k", "attn_v"});
  if (spec.qkv_bias) {
    w.qkv_bias = at::cat({layer.vector("attn_q", compute, true), layer.vector("attn_k", compute, true),
                          layer.vector("attn_v", compute, true)});
  }
  if (spec.qk_norm) w.qk_gain = head_gains(spec, layer);
  w.output = layer.matrix({"attn_output"});
  if (spec.post_norms) {
    w.post_attention_norm = layer.vector("post_attention_norm", at::kFloat);
    w.post_ffw_norm = layer.vector("post_ffw_norm", at::kFloat);
  }
  if (spec.experts.count == 0)
    w.ffn = {layer.matrix({"ffn_gate", "ffn_up"}), layer.matrix({"ffn_down"})};
  else
    load_experts(spec.experts, layer, w);
  return w;
}

}  // namespace

PackedParts::PackedParts(const Matrix& m) {
  const std::int64_t blocks = m.whole * m.cols / cuda::packed_values;
  quants = 0, scales = blocks * cuda::quant_bytes(m.packing), minimums = scales + 2 * blocks;
}

cuda::PackedMatrix Matrix::for_kernels() const {
  const auto n = static_cast<std::uint64_t>(rows);
  const auto width = static_cast<std::uint32_t>(cols);
  if (!is_packed())
    return {static_cast<const std::uint8_t*>(dense.const_data_ptr()), nullptr, nullptr, n, width, packing};
  const auto* const bytes = static_cast<const std::uint8_t*>(packed.const_data_ptr());
  const PackedParts parts(*this);
  const auto halves = [&](std::int64_t at) { return reinterpret_cast<const cuda::Half*>(bytes + at); };
  const cuda::PackedMatrix all{bytes + parts.quants,
                               halves(parts.scales),
                               packing == cuda::Packing::q4_1 ? halves(parts.minimums) : nullptr,
                               static_cast<std::uint64_t>(whole),
                               width,
                               packing};
  return cuda::slice(all, static_cast<std::uint64_t>(first), n);
}

Matrix Matrix::part(std::int64_t first_row, std::int64_t count) const {
  Matrix m = *this;
  if (!is_packed()) m.dense = dense.narrow(0, first_row, count);
  m.first += first_row, m.rows = count;
  return m;
}

std::shared_ptr<const LoadedWeights> shared_weights(std::shared_ptr<const Model> model, const Device& device) {
  static backend::Prepared<LoadedWeights> prepared;
  const Model* key = model.get();
  std::string kind = device.name + " " + c10::toString(device.compute) + (device.kernels != nullptr ? " packed" : "");
  if (device.weights != nullptr) kind += " from " + std::to_string(reinterpret_cast<std::uintptr_t>(device.weights));
  return prepared.get(key, kind, [&] { return LoadedWeights{model, load_weights(*model, device)}; });
}

Weights load_weights(const Model& model, const Device& device) {
  const DecoderSpec& spec = model.spec();
  Weights w;
  w.embedding = load_matrix({&model.embedding()}, device);
  w.output_norm = source(device).dense({&model.output_norm()}, device.device, at::kFloat).reshape(-1);
  w.head = spec.tied_head ? w.embedding : load_matrix({&model.head()}, device);
  w.layers.reserve(spec.layers);
  for (std::uint32_t l = 0; l < spec.layers; ++l) {
    w.layers.push_back(load_layer(spec, Layer(model, l, device), device.compute));
  }
  return w;
}

}  // namespace frugal::aten

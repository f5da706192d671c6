#include "torch/ops.hpp"

#include <frugal/core/error.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/rms_norm.h>

#include <algorithm>
#include <string>
#include <vector>

#include "backend/candidates.hpp"
#include "cuda/kernels.hpp"

namespace frugal::aten {
namespace {

std::uint32_t narrow(std::int64_t n) { return static_cast<std::uint32_t>(n); }

const std::int64_t* longs(const at::Tensor& t) {
  return t.defined() ? static_cast<const std::int64_t*>(t.const_data_ptr()) : nullptr;
}
const float* floats(const at::Tensor& t) {
  return t.defined() ? static_cast<const float*>(t.const_data_ptr()) : nullptr;
}

}  // namespace

cuda::Element Ops::element() const {
  if (device_.compute == c10::ScalarType::BFloat16) return cuda::Element::bf16;
  return device_.compute == c10::ScalarType::Half ? cuda::Element::f16 : cuda::Element::f32;
}

void Ops::started(int status, const char* what) const {
  if (status != 0)
    throw Error(Errc::device,
                std::string("torch: ") + what + " cannot be started: CUDA error " + std::to_string(status));
}

at::Tensor Ops::unpacked(const cuda::PackedMatrix& w, std::int64_t rows, const std::int64_t* ids) const {
  const at::Tensor out =
      at::empty({rows, static_cast<std::int64_t>(w.cols)}, at::TensorOptions(device_.compute).device(device_.device));
  const cuda::Unpack u{w, ids, out.data_ptr(), static_cast<std::uint64_t>(rows)};
  started(device_.kernels->unpack(u, element(), lane_.native()), "expanding weights");
  return out;
}

at::Tensor Ops::rows(const Matrix& w, const at::Tensor& ids) const {
  return w.is_packed() ? unpacked(w.for_kernels(), ids.size(0), longs(ids)) : at::index(w.dense, {ids});
}

at::Tensor Ops::linear(const at::Tensor& h, const Matrix& w, const at::Tensor& bias) const {
  if (!w.is_packed()) return at::linear(h, w.dense, bias);
  const at::Tensor y = h.size(0) <= cuda::product_rows ? product(h, w) : expanded_product(h, w);
  return bias.defined() ? y + bias : y;
}

at::Tensor Ops::product(const at::Tensor& h, const Matrix& w) const {
  const at::Tensor x = h.contiguous(), y = at::empty({x.size(0), w.rows}, x.options());
  const cuda::PackedProduct a{w.for_kernels(), x.const_data_ptr(), y.data_ptr(), narrow(x.size(0))};
  started(device_.kernels->product(a, element(), lane_.native()), "a product with quantised weights");
  return y;
}

/// A slice of the matrix at a time, so that a wide head does not stand in memory twice.
at::Tensor Ops::expanded_product(const at::Tensor& h, const Matrix& w) const {
  const std::int64_t slice = std::max<std::int64_t>(1, expanded_elements / w.cols);
  std::vector<at::Tensor> parts;
  for (std::int64_t first = 0; first < w.rows; first += slice) {
    const std::int64_t rows = std::min(slice, w.rows - first);
    const cuda::PackedMatrix part =
        cuda::slice(w.for_kernels(), static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(rows));
    parts.push_back(at::linear(h, unpacked(part, rows, nullptr)));
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts, 1);
}

at::Tensor Ops::norm(const at::Tensor& x, const at::Tensor& gain, float eps) const {
  return at::rms_norm(x.to(at::kFloat), {x.size(-1)}, gain, static_cast<double>(eps)).to(device_.compute);
}

at::Tensor Ops::add_norm(at::Tensor& x, const at::Tensor& y, const at::Tensor& gain, float eps) const {
  if (device_.kernels == nullptr) {
    x = x + y;
    return norm(x, gain, eps);
  }
  const at::Tensor added = y.contiguous(), out = at::empty_like(added);
  cuda::AddNorm a{.x = static_cast<float*>(x.data_ptr()), .y = added.const_data_ptr(), .gain = floats(gain)};
  a.out = out.data_ptr(), a.rows = narrow(x.size(0)), a.d = narrow(x.size(1)), a.eps = eps;
  started(device_.kernels->add_norm(a, element(), lane_.native()), "a norm");
  return out;
}

bool Ops::has_rope_append(const DecoderSpec& spec) const {
  return device_.kernels != nullptr && spec.heads + spec.kv_heads <= cuda::rope_heads;
}

at::Tensor Ops::rope_append(const at::Tensor& qkv, const RopeInputs& in, const DecoderSpec& spec, const KvView& kv,
                            std::int64_t layer) const {
  const at::Tensor q = at::empty({qkv.size(0), spec.heads, spec.head_dim}, qkv.options());
  cuda::RopeAppend a{.qkv = qkv.const_data_ptr(), .q = q.data_ptr(), .arena = kv.arena.data_ptr()};
  a.pages = longs(in.pages), a.slots = longs(in.slots), a.positions = longs(in.positions);
  a.angles = floats(in.angles), a.gain = floats(in.gain), a.eps = spec.rms_eps;
  a.rows = narrow(qkv.size(0)), a.heads = spec.heads, a.kv_heads = spec.kv_heads, a.head_dim = spec.head_dim;
  a.rope_dims = spec.rope_dims, a.adjacent = spec.rope_layout == RopeLayout::adjacent;
  a.layer = narrow(layer), a.page_tokens = narrow(kv.page_tokens), a.granule = static_cast<std::uint64_t>(kv.granule);
  started(device_.kernels->rope_append(a, element(), lane_.native()), "storing keys and values");
  return q;
}

bool Ops::has_experts(const GatedWeights& experts, const ExpertsSpec& spec, std::int64_t rows) const {
  const bool small = spec.count <= cuda::most_experts && spec.used <= cuda::most_used && rows <= cuda::routed_rows;
  return device_.kernels != nullptr && small && experts.gate_up.cols % 8 == 0 && experts.down.cols % 8 == 0;
}

Ops::Routing Ops::route(const at::Tensor& scores, const ExpertsSpec& spec) const {
  const at::Tensor x = scores.contiguous();
  const auto options = at::TensorOptions(at::kInt).device(device_.device);
  cuda::Route r{.scores = floats(x), .rows = narrow(x.size(0)), .count = spec.count, .used = spec.used};
  Routing out{at::empty({x.size(0), spec.used}, options), at::empty({x.size(0), spec.used}, options.dtype(at::kFloat)),
              at::empty({x.size(0) * spec.used}, options), at::empty({cuda::expert_tiles(r), 3}, options), x.size(0)};
  static_assert(sizeof(cuda::ExpertTile) == 3 * sizeof(std::int32_t));
  r.chosen = static_cast<std::uint32_t*>(out.chosen.data_ptr());
  r.weights = static_cast<float*>(out.weights.data_ptr());
  r.order = static_cast<std::uint32_t*>(out.order.data_ptr());
  r.tiles = static_cast<cuda::ExpertTile*>(out.tiles.data_ptr());
  r.renormalise = spec.renormalise, r.scale = backend::weight_scale(1.0F);
  started(device_.kernels->route(r, lane_.native()), "choosing experts");
  return out;
}

at::Tensor Ops::expert_linear(const at::Tensor& h, const Matrix& w, const Routing& routing,
                              const ExpertsSpec& spec) const {
  const at::Tensor x = h.contiguous();
  const std::int64_t features = w.rows / spec.count;
  const at::Tensor y = at::empty({routing.rows * spec.used, features}, x.options());
  cuda::ExpertProduct a{.matrix = w.for_kernels(), .features = static_cast<std::uint64_t>(features)};
  a.x = x.const_data_ptr(), a.y = y.data_ptr(), a.shared_by = narrow(routing.rows * spec.used / x.size(0));
  a.tiles = static_cast<const cuda::ExpertTile*>(routing.tiles.const_data_ptr());
  a.order = static_cast<const std::uint32_t*>(routing.order.const_data_ptr());
  a.tile_count = narrow(routing.tiles.size(0)), a.most_rows = narrow(routing.rows);
  started(device_.kernels->expert_product(a, element(), lane_.native()), "a product with experts");
  return y;
}

}  // namespace frugal::aten

// The bench's weights that are made on the device, and the seam they come through.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "gpu/made_weights.hpp"
#include "torch/pretend_rig.hpp"

namespace frugal::testing {
namespace {

aten::Device device_with(const aten::WeightSource* source, bool kernels) {
  return {.device = pretend().device(),
          .compute = c10::ScalarType::Float,
          .name = "pretend",
          .kernels = kernels ? &pretend_kernels() : nullptr,
          .weights = source};
}

std::shared_ptr<const Model> quantised(DType type) {
  TinyModelOptions options;
  options.layers = 3, options.embedding = options.attention = options.feed_forward = type;
  return tiny_model(options);
}

/// Mean and deviation, brought to the host.
std::pair<double, double> spread(const at::Tensor& t) {
  const at::Tensor x = t.to(at::kCPU, at::kDouble).contiguous();
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < x.numel(); ++i)
    sum += x.data_ptr<double>()[i], squares += x.data_ptr<double>()[i] * x.data_ptr<double>()[i];
  const double n = static_cast<double>(x.numel()), mean = sum / n;
  return {mean, std::sqrt(squares / n - mean * mean)};
}

/// A packed matrix' values, by the kernel that expands them.
at::Tensor expanded(const aten::Matrix& m) {
  const at::Tensor out = at::empty({m.rows, m.cols}, at::TensorOptions(at::kFloat).device(pretend().device()));
  const cuda::Unpack u{m.for_kernels(), nullptr, out.data_ptr(), static_cast<std::uint64_t>(m.rows)};
  REQUIRE(pretend_kernels().unpack(u, cuda::Element::f32, nullptr) == 0);
  return out;
}

TEST_CASE("made weights have the deviation of real ones, in every format that stays packed") {
  const bench::MadeWeights made;
  for (const DType type : {DType::q8_0, DType::q4_0, DType::q4_1, DType::bf16}) {
    INFO(static_cast<int>(type));
    const aten::Weights w = aten::load_weights(*quantised(type), device_with(&made, true));
    const aten::Matrix& m = w.layers.front().ffn.gate_up;
    REQUIRE(m.is_packed() == (type != DType::bf16));
    const auto [mean, deviation] = spread(m.is_packed() ? expanded(m) : m.dense);
    CHECK(std::abs(mean) < 0.004);  // those of Q4_0 lie half a step below zero
    CHECK(std::abs(deviation - 0.02) < 0.002);
    CHECK(spread(w.layers.front().attn_norm) == std::pair(1.0, 0.0));
  }
}

TEST_CASE("made weights are not uploaded, and passes over them give finite logits that tell rows apart") {
  for (const bool kernels : {false, true}) {
    for (const DType type : {DType::bf16, DType::q4_1}) {
      const bench::MadeWeights made;
      const auto model = quantised(type);
      auto backend = aten::make_backend(device_with(&made, kernels));
      pretend().reset_counts();
      const ModelId id = backend->add_model(model);
      CHECK(pretend().counts().bytes_up == 0);
      CHECK(pretend().counts().blocking_copies <= 2);  // tables of angles
      REQUIRE(id.index() == 0);
      Rig rig(aten::make_backend(device_with(&made, kernels)), {model});
      const Rows logits = rig.run(some_tokens(20));
      CHECK(std::isfinite(largest(logits)));
      CHECK(distance(logits, Rows(logits.rbegin(), logits.rend())) > 0.0F);
    }
  }
}

TEST_CASE("layers that share weights take the memory of one, each array of its own") {
  const auto model = quantised(DType::q8_0);
  const auto taken = [&](bool share) {
    bench::MadeWeights made;
    if (share) made.share_layers();
    const std::size_t before = pretend().bytes_in_use();
    const aten::Weights w = aten::load_weights(*model, device_with(&made, true));
    const void* const first = w.layers[0].qkv.packed.const_data_ptr();
    CHECK((w.layers[2].qkv.packed.const_data_ptr() == first) == share);
    CHECK(w.layers[0].output.packed.const_data_ptr() != first);
    CHECK(w.layers[0].ffn.gate_up.packed.const_data_ptr() != w.layers[0].ffn.down.packed.const_data_ptr());
    return pretend().bytes_in_use() - before;
  };
  const std::size_t own = taken(false), shared = taken(true);
  CHECK(shared < own);
  const std::size_t layer = (own - shared) / 2;  // of three
  CHECK(shared > layer);
}

}  // namespace
}  // namespace frugal::testing

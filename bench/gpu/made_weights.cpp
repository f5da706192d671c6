#include "gpu/made_weights.hpp"

#include <ATen/ops/empty.h>

#include <cstdint>

namespace frugal::bench {
namespace {

constexpr double deviation = 0.02;

/// The name without its layer's number.
std::string layerless(const std::string& name) {
  const std::size_t dot = name.rfind("blk.", 0) == 0 ? name.find('.', 4) : std::string::npos;
  return dot == std::string::npos ? name : "blk" + name.substr(dot);
}

}  // namespace

template <class Make>
at::Tensor MadeWeights::once(const std::vector<const Tensor*>& parts, const std::string& form, Make make) const {
  if (!shared_) return make();
  at::Tensor& made = made_[layerless(parts.front()->name) + " " + form];
  if (!made.defined()) made = make();
  return made;
}

at::Tensor MadeWeights::dense(const std::vector<const Tensor*>& parts, c10::Device device, c10::ScalarType type) const {
  std::int64_t rows = 0;
  for (const Tensor* t : parts) rows += static_cast<std::int64_t>(t->rows);
  const auto cols = static_cast<std::int64_t>(parts.front()->cols);
  const std::string form = std::to_string(rows) + "x" + std::to_string(cols) + " " + c10::toString(type);
  return once(parts, form, [&] {
    const at::Tensor out = at::empty({rows, cols}, at::TensorOptions(type).device(device));
    return parts.front()->name.find("norm") != std::string::npos ? out.fill_(1.0) : out.normal_(0.0, deviation);
  });
}

at::Tensor MadeWeights::packed(const aten::Matrix& m, const std::vector<const Tensor*>& parts,
                               c10::Device device) const {
  const std::int64_t blocks = m.whole * m.cols / cuda::packed_values;
  const bool eight = m.packing == cuda::Packing::q8_0, minimums = m.packing == cuda::Packing::q4_1;
  const double scale = deviation / (eight ? 73.9 : 4.61);  // over the deviation of a quant whose bits are random
  const std::string form = std::to_string(blocks) + " blocks of " + std::to_string(static_cast<int>(m.packing));
  return once(parts, form, [&] {
    const auto options = at::TensorOptions(at::kByte).device(device);
    const at::Tensor out = at::empty({blocks * cuda::block_bytes(m.packing)}, options);
    const aten::PackedParts at(m);
    out.narrow(0, at.quants, at.scales).random_(0, 256);
    out.narrow(0, at.scales, 2 * blocks).view(at::kHalf).fill_(scale);
    if (minimums) out.narrow(0, at.minimums, 2 * blocks).view(at::kHalf).fill_(-7.5 * scale);
    return out;
  });
}

}  // namespace frugal::bench

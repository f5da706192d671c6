#include "torch/rope_table.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <utility>

#include "backend/rope.hpp"

namespace frugal::aten {

RopeTable::RopeTable(std::vector<double> frequencies, float scale, c10::Device device)
    : frequencies_(std::move(frequencies)), scale_(scale), device_(device) {}

bool RopeTable::cover(std::int64_t positions) {
  const std::int64_t have = table_.defined() ? table_.size(0) : 0;
  if (positions <= have) return false;
  const std::int64_t more = std::max<std::int64_t>({positions - have, have, 1024});
  const std::size_t half = frequencies_.size();
  const at::Tensor made = at::empty({more, 2, static_cast<std::int64_t>(half)}, at::TensorOptions(at::kFloat));
  float* next = made.data_ptr<float>();
  for (std::int64_t i = 0; i < more; ++i, next += 2 * half) {
    const auto position = static_cast<std::uint32_t>(have + i);
    backend::rope_angles(frequencies_, position, {next, half}, {next + half, half});
    if (scale_ != 1.0F) std::for_each(next, next + 2 * half, [&](float& x) { x *= scale_; });
  }
  const at::Tensor sent = made.to(device_);
  table_ = have == 0 ? sent : at::cat({table_, sent});
  return true;
}

RopeTable::Angles RopeTable::at(const at::Tensor& positions) const {
  const at::Tensor rows = at::index_select(table_, 0, positions).unsqueeze(2);
  return {rows.select(1, 0), rows.select(1, 1)};
}

}  // namespace frugal::aten

// Decoder::plan: what all layers of a step share, made on the host, and what it becomes on the device.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "torch/decoder.hpp"

namespace frugal::aten {
namespace {

std::int64_t wide(std::size_t n) { return static_cast<std::int64_t>(n); }

}  // namespace

/// Tables grow by doubling, so a sequence meets few steps that wait for them.
void Decoder::cover(std::int64_t positions) {
  if (angles_.cover(positions)) ++moves_;
  if (local_angles_ && local_angles_->cover(positions)) ++moves_;
  const std::int64_t have = counting_.defined() ? counting_.size(0) : 0;
  if (positions <= have) return;
  const at::Tensor made =
      at::empty({std::max<std::int64_t>({positions, 2 * have, 1024})}, at::TensorOptions(at::kLong));
  std::iota(made.data_ptr<std::int64_t>(), made.data_ptr<std::int64_t>() + made.size(0), std::int64_t{0});
  counting_ = made.to(device_.device);
}

/// Rows that pad a step write to the page that belongs to nobody.
PlannedStep Decoder::plan(std::span<const Segment> segments, const StepShape* shape, Parcel& parcel) {
  std::vector<std::int64_t> tokens, pages, slots, positions;
  const auto pad = [&](std::size_t rows) {
    tokens.resize(tokens.size() + rows), slots.resize(tokens.size()), positions.resize(tokens.size());
    pages.resize(tokens.size(), scratch_);
  };
  for (const Segment& s : segments) {
    if (shape != nullptr) pad(shape->rows - s.tokens.size());
    for (std::size_t i = 0; i < s.tokens.size(); ++i) {
      const std::size_t position = s.start + i, page_tokens = static_cast<std::size_t>(kv_.page_tokens);
      tokens.push_back(s.tokens[i]);
      pages.push_back(s.pages[position / page_tokens]);
      slots.push_back(wide(position % page_tokens));
      positions.push_back(wide(position));
    }
  }
  if (shape != nullptr) pad(shape->all_rows() - tokens.size());
  cover(*std::max_element(positions.begin(), positions.end()) + 1);

  const DecoderSpec& s = spec();
  const bool any_full = s.sliding_window == 0 || std::any_of(s.full_attention.begin(), s.full_attention.end(),
                                                             [](std::uint8_t full) { return full != 0; });
  PlannedStep planned{parcel.add(tokens), parcel.add(pages), parcel.add(slots), parcel.add(positions), {}, {}};
  if (any_full) planned.full = attention_.plan(segments, {0, kv_.page_tokens, shape, scratch_}, parcel);
  if (s.sliding_window != 0)
    planned.windowed = attention_.plan(segments, {s.sliding_window, kv_.page_tokens, shape, scratch_}, parcel);
  return planned;
}

StepPlan Decoder::finish(PlannedStep planned, const Parcel& parcel) const {
  StepPlan plan;
  plan.tokens = parcel.tensor(planned.tokens, at::kLong), plan.row_pages = parcel.tensor(planned.row_pages, at::kLong);
  plan.row_slots = parcel.tensor(planned.row_slots, at::kLong);
  plan.positions = parcel.tensor(planned.positions, at::kLong);
  if (planned.full) plan.full = finish(std::move(*planned.full), parcel, plan.positions, angles_);
  if (planned.windowed)
    plan.windowed =
        finish(std::move(*planned.windowed), parcel, plan.positions, local_angles_ ? *local_angles_ : angles_);
  return plan;
}

LayerPlan Decoder::finish(Attention::Planned planned, const Parcel& parcel, const at::Tensor& positions,
                          const RopeTable& table) const {
  if (ops_.has_rope_append(spec()))
    return {table.table(), {}, {}, attention_.finish(std::move(planned), parcel, positions, counting_)};
  const RopeTable::Angles angles = table.at(positions);
  return {{}, angles.cos, angles.sin, attention_.finish(std::move(planned), parcel, positions, counting_)};
}

}  // namespace frugal::aten

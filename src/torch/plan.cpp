// Decoder::plan: what all layers of a step share, made on the host and sent to the device in a few transfers.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "backend/rope.hpp"
#include "torch/decoder.hpp"

namespace frugal::aten {
namespace {

std::int64_t wide(std::size_t n) { return static_cast<std::int64_t>(n); }

at::Tensor send(const std::vector<std::int64_t>& values, c10::Device device) {
  const at::Tensor host = at::empty({wide(values.size())}, at::TensorOptions(at::kLong));
  std::copy(values.begin(), values.end(), host.data_ptr<std::int64_t>());
  return host.to(device);
}

/// The earliest position that a row at `position` attends to; window 0 = all.
std::int64_t first_key(std::int64_t position, std::int64_t window) {
  return window > 0 ? std::max<std::int64_t>(0, position + 1 - window) : 0;
}

}  // namespace

StepPlan Decoder::plan(std::span<const Segment> segments) const {
  StepPlan plan;
  plan_rows(segments, plan);
  const DecoderSpec& s = spec();
  const bool any_full = s.sliding_window == 0 || std::any_of(s.full_attention.begin(), s.full_attention.end(),
                                                             [](std::uint8_t full) { return full != 0; });
  if (any_full) plan.full = plan_layers(segments, 0);
  if (s.sliding_window != 0) plan.windowed = plan_layers(segments, s.sliding_window);
  return plan;
}

LayerPlan Decoder::plan_layers(std::span<const Segment> segments, std::int64_t window) const {
  LayerPlan plan;
  plan_attention(segments, window, plan);
  plan_angles(segments, window != 0 && !local_frequencies_.empty(), plan);
  return plan;
}

/// tokens, pages and slots of all rows travel as one array.
void Decoder::plan_rows(std::span<const Segment> segments, StepPlan& plan) const {
  std::vector<std::int64_t> tokens, pages, slots;
  for (const Segment& s : segments) {
    for (std::size_t i = 0; i < s.tokens.size(); ++i) {
      const std::size_t position = s.start + i, page_tokens = static_cast<std::size_t>(kv_.page_tokens);
      tokens.push_back(s.tokens[i]);
      pages.push_back(s.pages[position / page_tokens]);
      slots.push_back(wide(position % page_tokens));
    }
  }
  const std::int64_t rows = wide(tokens.size());
  tokens.insert(tokens.end(), pages.begin(), pages.end());
  tokens.insert(tokens.end(), slots.begin(), slots.end());
  const at::Tensor all = send(tokens, device_.device);
  plan.tokens = all.narrow(0, 0, rows);
  plan.row_pages = all.narrow(0, rows, rows), plan.row_slots = all.narrow(0, 2 * rows, rows);
}

void Decoder::plan_attention(std::span<const Segment> segments, std::int64_t window, LayerPlan& plan) const {
  std::vector<std::int64_t> pages;
  std::int64_t row = 0;
  for (const Segment& s : segments) {
    SegmentPlan p{.first_row = row, .rows = wide(s.tokens.size()), .start = s.start};
    p.first_position = first_key(p.start, window) / kv_.page_tokens * kv_.page_tokens;
    row += p.rows;
    for (std::int64_t at = p.first_position; at < p.end(); at += kv_.page_tokens) {
      pages.push_back(s.pages[static_cast<std::size_t>(at / kv_.page_tokens)]);
    }
    if (p.rows > 1 || first_key(p.start, window) > p.first_position) p.mask = mask(p, window);
    plan.segments.push_back(std::move(p));
  }
  const at::Tensor sent = send(pages, device_.device);
  std::int64_t next = 0;
  for (SegmentPlan& p : plan.segments) {
    const std::int64_t n = (p.end() - p.first_position + kv_.page_tokens - 1) / kv_.page_tokens;
    p.pages = sent.narrow(0, next, n);
    next += n;
  }
}

void Decoder::plan_angles(std::span<const Segment> segments, bool local, LayerPlan& plan) const {
  const std::vector<double>& frequencies = local ? local_frequencies_ : frequencies_;
  const std::size_t half = frequencies.size();
  std::size_t rows = 0;
  for (const Segment& s : segments) rows += s.tokens.size();
  const at::Tensor angles = at::empty({2, wide(rows), 1, wide(half)}, at::TensorOptions(at::kFloat));
  float* cos = angles.data_ptr<float>();
  float* sin = cos + rows * half;
  for (const Segment& s : segments) {
    for (std::uint32_t i = 0; i < s.tokens.size(); ++i, cos += half, sin += half) {
      backend::rope_angles(frequencies, s.start + i, {cos, half}, {sin, half});
    }
  }
  at::Tensor sent = angles.to(device_.device);
  if (spec().rope_scale != 1.0F) sent = sent * static_cast<double>(spec().rope_scale);
  plan.cos = sent.select(0, 0), plan.sin = sent.select(0, 1);
}

/// Row r of the segment sees keys [first_key(start + r), start + r]; repeated for each query head of a group.
at::Tensor Decoder::mask(const SegmentPlan& s, std::int64_t window) const {
  const std::int64_t keys = s.end() - s.first_position, group = spec().heads / spec().kv_heads;
  const at::Tensor m =
      at::full({s.rows, keys}, -std::numeric_limits<double>::infinity(), at::TensorOptions(at::kFloat));
  for (std::int64_t r = 0; r < s.rows; ++r) {
    float* row = m.data_ptr<float>() + r * keys;
    std::fill(row + first_key(s.start + r, window) - s.first_position, row + s.start + r + 1 - s.first_position, 0.0F);
  }
  return m.to(device_.device, device_.compute).repeat({group, 1});
}

}  // namespace frugal::aten

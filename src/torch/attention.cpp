#include "torch/attention.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "backend/rope.hpp"

namespace frugal::aten {
namespace {

std::int64_t wide(std::size_t n) { return static_cast<std::int64_t>(n); }

/// The earliest position that a row at `position` attends to; window 0 = all.
std::int64_t first_key(std::int64_t position, std::int64_t window) {
  return window > 0 ? std::max<std::int64_t>(0, position + 1 - window) : 0;
}

}  // namespace

at::Tensor KvView::layer(std::int64_t index, bool value) const {
  const std::int64_t offset = (index * 2 + (value ? 1 : 0)) * page_tokens * width;
  return arena.as_strided({pages, page_tokens, width}, {granule, width, 1}, offset);
}

bool has_fused_attention(c10::Device device, c10::ScalarType type, std::int64_t head_dim) {
  if (device.is_cpu() || head_dim % 8 != 0 || head_dim > 256) return false;
  try {
    const at::Tensor x = at::zeros({1, 1, head_dim}, at::TensorOptions(type).device(device));
    const at::Tensor starts = at::tensor({0, 1}, at::TensorOptions(at::kInt)).to(device);
    at::_flash_attention_forward(x, x, x, starts, starts, 1, 1, 0.0, true, false, 1.0, std::nullopt, std::nullopt,
                                 starts.narrow(0, 1, 1));
    return true;
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::AcceleratorError&) {
    throw;
  } catch (const c10::Error&) {  // this type or device is not supported, or LibTorch was built without it
    return false;
  }
}

/// Pages of a padded sequence: no window needs all of them where it is short.
std::int64_t Attention::padded_pages(const Paging& p) {
  const std::int64_t all = p.shape->pages;
  return p.window == 0 ? all : std::min(all, (p.window + p.shape->rows) / p.page_tokens + 2);
}

Attention::Planned Attention::plan(std::span<const Segment> segments, const Paging& paging, Parcel& parcel) const {
  Planned out;
  AttentionPlan& plan = out.plan;
  const std::int64_t window = plan.window = paging.window, page_tokens = paging.page_tokens;
  const std::int64_t padded = paging.shape == nullptr ? 0 : padded_pages(paging);
  if (paged_ != nullptr) {
    plan.paged = paged_->plan(segments, {window, page_tokens, paging.shape, padded, paging.scratch}, parcel);
    return out;
  }
  std::vector<std::int64_t> pages;
  std::vector<std::int32_t> row_starts{0}, key_starts{0}, key_counts;
  const auto end_sequence = [&](std::int64_t rows, std::int64_t keys) {
    pages.resize(std::max(pages.size(), static_cast<std::size_t>(wide(key_counts.size() + 1) * padded)),
                 paging.scratch);
    row_starts.push_back(row_starts.back() + static_cast<std::int32_t>(rows));
    key_starts.push_back(static_cast<std::int32_t>(wide(pages.size()) * page_tokens));
    key_counts.push_back(static_cast<std::int32_t>(keys));
    plan.most_rows = std::max(plan.most_rows, rows), plan.most_keys = std::max(plan.most_keys, keys);
  };
  for (const Segment& s : segments) {
    SequencePlan p{.first_row = row_starts.back(), .rows = wide(s.tokens.size()), .start = s.start};
    p.first_position = first_key(p.start, window) / page_tokens * page_tokens;
    p.first_key = wide(pages.size()) * page_tokens;
    for (std::int64_t at = p.first_position; at < p.end(); at += page_tokens)
      pages.push_back(s.pages[static_cast<std::size_t>(at / page_tokens)]);
    end_sequence(paging.shape == nullptr ? p.rows : paging.shape->rows, p.keys());
    plan.sequences.push_back(std::move(p));
  }
  if (paging.shape != nullptr) {
    while (key_counts.size() < paging.shape->sequences) end_sequence(paging.shape->rows, paging.shape->rows);
    plan.most_keys = padded * page_tokens;
  }
  out.pages = parcel.add(pages);
  if (!fused_) return out;
  out.row_starts = parcel.add(row_starts), out.key_starts = parcel.add(key_starts);
  out.key_counts = parcel.add(key_counts);
  return out;
}

AttentionPlan Attention::finish(Planned planned, const Parcel& parcel, const at::Tensor& positions,
                                const at::Tensor& counting) const {
  AttentionPlan plan = std::move(planned.plan);
  if (paged_ != nullptr) {
    plan.paged = paged_->finish(plan.paged, parcel);
    return plan;
  }
  plan.pages = parcel.tensor(planned.pages, at::kLong);
  if (fused_) {
    plan.row_starts = parcel.tensor(planned.row_starts, at::kInt);
    plan.key_starts = parcel.tensor(planned.key_starts, at::kInt);
    plan.key_counts = parcel.tensor(planned.key_counts, at::kInt);
    return plan;
  }
  for (SequencePlan& s : plan.sequences)
    if (s.rows > 1 || first_key(s.start, plan.window) > s.first_position)
      s.mask = mask(s, plan.window, positions, counting);
  return plan;
}

/// A row at position n sees the keys of [first_key(n), n]; repeated for each query head of a group.
at::Tensor Attention::mask(const SequencePlan& s, std::int64_t window, const at::Tensor& positions,
                           const at::Tensor& counting) const {
  const at::Tensor rows = positions.narrow(0, s.first_row, s.rows).unsqueeze(1);
  const at::Tensor keys = counting.narrow(0, s.first_position, s.keys()).unsqueeze(0);
  at::Tensor hidden = keys > rows;
  if (window > 0) hidden = hidden | (keys <= rows - window);
  const at::Tensor m = at::zeros({s.rows, s.keys()}, at::TensorOptions(compute_).device(positions.device()));
  m.masked_fill_(hidden, -std::numeric_limits<double>::infinity());
  return m.unsqueeze(0).expand({spec_.heads / spec_.kv_heads, s.rows, s.keys()}).reshape({-1, s.keys()});
}

at::Tensor Attention::run(const AttentionPlan& plan, const at::Tensor& q, const KvView& kv, std::int64_t layer) const {
  if (paged_ != nullptr) return paged_->run(plan.paged, q, kv, layer);
  const auto gather = [&](bool value) {  // -> [keys of all, kv_heads, head_dim]
    return at::index(kv.layer(layer, value), {plan.pages}).view({-1, spec_.kv_heads, spec_.head_dim});
  };
  const at::Tensor keys = gather(false), values = gather(true);
  if (fused_) return fused(plan, q, keys, values);
  std::vector<at::Tensor> mixed;
  mixed.reserve(plan.sequences.size());
  for (const SequencePlan& s : plan.sequences) {
    mixed.push_back(one(s, q.narrow(0, s.first_row, s.rows), keys.narrow(0, s.first_key, s.keys()),
                        values.narrow(0, s.first_key, s.keys())));
  }
  return mixed.size() == 1 ? mixed.front() : at::cat(mixed);
}

/// The mask of the fused call is causal from the last key backwards; a window counts keys before a row's own.
at::Tensor Attention::fused(const AttentionPlan& plan, const at::Tensor& q, const at::Tensor& keys,
                            const at::Tensor& values) const {
  const std::optional<std::int64_t> left = plan.window > 0 ? std::optional(plan.window - 1) : std::nullopt;
  const std::optional<std::int64_t> right = plan.window > 0 ? std::optional<std::int64_t>(0) : std::nullopt;
  const at::Tensor out = std::get<0>(at::_flash_attention_forward(
      q, keys, values, plan.row_starts, plan.key_starts, plan.most_rows, plan.most_keys, 0.0, true, false,
      static_cast<double>(backend::attention_scale(spec_)), left, right, plan.key_counts));
  return out.reshape({q.size(0), -1});
}

/// q [rows, heads, d], keys and values [n, kv_heads, d] -> [rows, heads * d].
at::Tensor Attention::one(const SequencePlan& s, const at::Tensor& q, const at::Tensor& keys,
                          const at::Tensor& values) const {
  const std::int64_t kv_heads = spec_.kv_heads, group = spec_.heads / kv_heads, d = spec_.head_dim;
  const at::Tensor k = keys.transpose(0, 1).unsqueeze(0), v = values.transpose(0, 1).unsqueeze(0);
  const at::Tensor folded =  // [rows, kv_heads, group, d] -> [1, kv_heads, group * rows, d]
      q.reshape({s.rows, kv_heads, group, d}).permute({1, 2, 0, 3}).reshape({1, kv_heads, group * s.rows, d});
  std::optional<at::Tensor> m;
  if (s.mask.defined()) m = s.mask.unsqueeze(0).unsqueeze(0);
  const at::Tensor out = spec_.attention_softcap != 0.0F || !q.device().is_cpu()
                             ? capped(folded, k, v, s.mask)
                             : at::scaled_dot_product_attention(folded, k, v, m, 0.0, false,
                                                                static_cast<double>(backend::attention_scale(spec_)));
  return out.view({kv_heads, group, s.rows, d}).permute({2, 0, 1, 3}).reshape({s.rows, kv_heads * group * d});
}

/// Attention written out in fp32: for scores that pass cap * tanh(s / cap), which no fused kernel of LibTorch has, and
/// on devices for what the fused call does not take: scaled_dot_product_attention might choose cuDNN there, which
/// prepares a plan for every new number of keys.
at::Tensor Attention::capped(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values,
                             const at::Tensor& mask) const {
  const double cap = static_cast<double>(spec_.attention_softcap);
  at::Tensor scores = at::matmul(q.to(at::kFloat), keys.to(at::kFloat).transpose(-2, -1)) *
                      static_cast<double>(backend::attention_scale(spec_));
  if (cap != 0.0) scores = at::tanh(scores / cap) * cap;
  if (mask.defined()) scores = scores + mask.to(at::kFloat);
  return at::matmul(at::softmax(scores, -1), values.to(at::kFloat)).to(compute_);
}

}  // namespace frugal::aten

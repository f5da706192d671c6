#include "torch/paged_attention.hpp"

#include <frugal/core/error.hpp>

#include <ATen/ops/empty.h>

#include <algorithm>
#include <string>
#include <vector>

#include "backend/rope.hpp"
#include "cuda/paged_plan.hpp"
#include "torch/attention.hpp"

namespace frugal::aten {
namespace {

std::uint32_t narrow(std::int64_t n) { return static_cast<std::uint32_t>(n); }

cuda::Element element_of(c10::ScalarType type) {
  if (type == c10::ScalarType::BFloat16) return cuda::Element::bf16;
  return type == c10::ScalarType::Half ? cuda::Element::f16 : cuda::Element::f32;
}

/// A step's sequences and their pages, in the order of the segments.
struct Sequences {
  std::vector<cuda::PagedSequence> lengths;
  std::vector<std::int32_t> pages;
};

/// Pages before any key that a row sees are left out, as the gather leaves them out.
Sequences sequences_of(std::span<const Segment> segments, const PagedCalls::Paging& paging) {
  Sequences out;
  for (const Segment& s : segments) {
    const std::int64_t end = static_cast<std::int64_t>(s.start + s.tokens.size());
    const std::int64_t seen = paging.window > 0 ? std::max<std::int64_t>(0, s.start + 1 - paging.window) : 0;
    const std::int64_t first = seen / paging.page_tokens * paging.page_tokens;
    for (std::int64_t at = first; at < end; at += paging.page_tokens)
      out.pages.push_back(static_cast<std::int32_t>(s.pages[static_cast<std::size_t>(at / paging.page_tokens)]));
    const std::size_t rows = paging.shape == nullptr ? s.tokens.size() : paging.shape->rows;
    out.lengths.push_back({static_cast<std::uint32_t>(rows), narrow(end - first)});
  }
  return out;
}

/// Sequences that are not there read a page of nobody's; then as many pages as any step of the shape has.
void pad(Sequences& s, const PagedCalls::Paging& paging) {
  const auto scratch = static_cast<std::int32_t>(paging.scratch);
  const std::uint32_t keys = std::min(paging.shape->rows, narrow(paging.page_tokens));
  while (s.lengths.size() < paging.shape->sequences) {
    s.lengths.push_back({paging.shape->rows, keys});
    s.pages.push_back(scratch);
  }
  s.pages.resize(static_cast<std::size_t>(paging.pages) * paging.shape->sequences, scratch);
}

}  // namespace

void PagedCalls::check(const DecoderSpec& spec, const Device& device) {
  const cuda::PagedHeads heads{spec.heads, spec.kv_heads, spec.head_dim};
  if (spec.attention_softcap == 0.0F && device.kernels->serves_paged(heads, element_of(device.compute))) return;
  throw Error(
      Errc::unavailable,
      "torch: attention 'flashinfer' takes bf16 or fp16, heads of 64, 128 or 256 and no soft cap of scores; this "
      "model has heads of " +
          std::to_string(spec.head_dim) + " in " + c10::toString(device.compute) +
          (spec.attention_softcap != 0.0F ? " and a soft cap" : "") + ": ask for 'gather'");
}

PagedCalls::PagedCalls(const DecoderSpec& spec, const Device& device, const Lane& lane)
    : spec_(spec),
      device_(device),
      lane_(lane),
      multiprocessors_(device.kernels->multiprocessors(device.device.index())) {
  if (multiprocessors_ == 0)
    throw Error(Errc::device, "torch: the device does not tell how many multiprocessors it has");
}

std::size_t PagedCalls::workspace_bytes() const {
  return cuda::paged_workspace(heads(), multiprocessors_,
                               static_cast<std::uint32_t>(c10::elementSize(device_.compute)));
}

PagedStep PagedCalls::plan(std::span<const Segment> segments, const Paging& paging, Parcel& parcel) const {
  Sequences s = sequences_of(segments, paging);
  cuda::PagedLimits limits{heads(), narrow(paging.page_tokens), narrow(paging.window), multiprocessors_};
  if (paging.shape != nullptr) {
    pad(s, paging);
    limits.most_rows = paging.shape->rows, limits.most_keys = narrow(paging.pages * paging.page_tokens);
  }
  const cuda::PagedPlan p = cuda::plan_paged(s.lengths, limits);
  PagedStep step{.call = {.heads = heads(), .page_tokens = limits.page_tokens, .window = limits.window}};
  step.parts = p.split ? p.parts : 0;
  cuda::PagedAttention& a = step.call;
  a.scale = backend::attention_scale(spec_);
  a.sequences = static_cast<std::uint32_t>(s.lengths.size()), a.rows = p.rows, a.blocks = p.blocks();
  a.tile = p.tile, a.split = p.split;
  const std::vector<std::int32_t> chunk{static_cast<std::int32_t>(p.chunk)};
  step.slots = {parcel.add(p.block_sequence), parcel.add(p.block_tile), parcel.add(p.block_chunk),
                parcel.add(p.block_used),     parcel.add(p.row_starts), parcel.add(p.page_starts),
                parcel.add(p.last_page),      parcel.add(s.pages),      parcel.add(p.out_starts),
                parcel.add(p.part_starts),    parcel.add(chunk)};
  return step;
}

PagedStep PagedCalls::finish(PagedStep step, const Parcel& parcel) const {
  const auto whole = [&](Parcel::Slot slot) { return static_cast<const std::int32_t*>(parcel.address(slot)); };
  cuda::PagedAttention& a = step.call;
  const PagedStep::Slots& s = step.slots;
  a.block_sequence = whole(s.block_sequence), a.block_tile = whole(s.block_tile), a.block_chunk = whole(s.block_chunk);
  a.block_used = static_cast<const std::uint8_t*>(parcel.address(s.block_used));
  a.row_starts = whole(s.row_starts), a.page_starts = whole(s.page_starts), a.last_page = whole(s.last_page);
  a.pages = whole(s.pages), a.out_starts = whole(s.out_starts), a.part_starts = whole(s.part_starts);
  a.chunk = whole(s.chunk);
  return step;
}

at::Tensor PagedCalls::run(const PagedStep& step, const at::Tensor& q, const KvView& kv, std::int64_t layer) const {
  const at::Tensor x = q.stride(2) == 1 ? q : q.contiguous();
  const std::int64_t parts = step.parts, all = spec_.heads, dims = spec_.head_dim;
  const at::Tensor out = at::empty({x.size(0), all * dims}, x.options());
  const at::Tensor mixed = at::empty({parts, all, dims}, x.options());
  const at::Tensor weights = at::empty({parts, all}, x.options().dtype(at::kFloat));
  const at::Tensor keys = kv.layer(layer, false), values = kv.layer(layer, true);
  cuda::PagedAttention a = step.call;
  a.q = x.const_data_ptr(), a.q_row = narrow(x.stride(0)), a.q_head = narrow(x.stride(1)), a.out = out.data_ptr();
  a.keys = keys.const_data_ptr(), a.values = values.const_data_ptr(), a.granule = narrow(kv.granule);
  a.parts = mixed.data_ptr(), a.weights = static_cast<float*>(weights.data_ptr());
  const int status = device_.kernels->paged_attention(a, element_of(device_.compute), lane_.native());
  if (status != 0)
    throw Error(Errc::device, "torch: attention over pages cannot be started: CUDA error " + std::to_string(status));
  return out;
}

}  // namespace frugal::aten

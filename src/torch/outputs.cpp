#include "torch/outputs.hpp"

#include <frugal/core/error.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/contract.hpp"
#include "cuda/draw_spec.hpp"
#include "torch/decoder.hpp"
#include "torch/parcel.hpp"

namespace frugal::aten {
namespace {

std::int64_t wide(std::size_t n) { return static_cast<std::int64_t>(n); }

/// A row whose logits are made.
struct WantedRow {
  std::int64_t row = 0;            // of the batch
  const DrawSpec* draw = nullptr;  // null = logits only
  TokenScore* drawn = nullptr;
  std::span<float> logits{};  // [vocab] to be filled, or empty
};

std::vector<WantedRow> wanted_rows(const Batch& batch, std::uint32_t vocab) {
  std::vector<WantedRow> all;
  std::size_t end = 0, drawn = 0;
  for (const Segment& s : batch.segments) {
    const std::size_t rows = s.tokens.size(), copied = s.logits.size() / vocab;
    end += rows;
    for (std::size_t left = backend::wanted_rows(s, vocab); left > 0; --left) {
      WantedRow w{.row = wide(end - left)};
      if (left <= copied) w.logits = s.logits.subspan((copied - left) * vocab, vocab);
      if (left <= s.draws.size()) w.draw = &s.draws[s.draws.size() - left], w.drawn = &batch.drawn[drawn++];
      all.push_back(w);
    }
  }
  return all;
}

at::Tensor select_rows(const at::Tensor& from, const std::vector<std::int64_t>& rows) {
  if (wide(rows.size()) == from.size(0)) return from;  // rows ascend: all of them
  Parcel parcel;
  const Parcel::Slot slot = parcel.add(rows);
  parcel.send(from.device());
  return at::index_select(from, 0, parcel.tensor(slot, at::kLong));
}

/// The draws of a piece of rows that the device makes.
class DeviceDraws {
 public:
  /// Takes the row's draw if the device can make it.
  bool take(const WantedRow& w, std::int64_t at, std::uint32_t vocab) {
    std::optional<cuda::PreparedDraw> p = cuda::prepare(*w.draw, vocab);
    if (!p) return false;
    rows_.push_back({p->row, at, payload_.add(p->adjustments), payload_.add(w.draw->mask), w.drawn});
    return true;
  }

  void start(const at::Tensor& logits, const Device& device, const Lane& lane) {
    if (rows_.empty()) return;
    payload_.send(device.device);
    const std::int64_t count = wide(rows_.size()), vocab = logits.size(1);
    work_ = at::empty({count, vocab}, logits.options());
    std::vector<cuda::DrawRow> rows;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      Row& r = rows_[i];
      r.row.logits = static_cast<const float*>(logits.const_data_ptr()) + r.at * vocab;
      r.row.x = static_cast<float*>(work_.data_ptr()) + wide(i) * vocab;
      r.row.adjustments = static_cast<const cuda::Adjustment*>(payload_.address(r.adjustments));
      r.row.mask = static_cast<const std::uint32_t*>(payload_.address(r.mask));
      rows.push_back(r.row);
    }
    const Parcel::Slot slot = table_.add(rows);
    table_.send(device.device);
    const at::Tensor out = at::empty({count, wide(sizeof(cuda::Drawn))}, logits.options().dtype(at::kByte));
    const int status =
        device.kernels->draw(static_cast<const cuda::DrawRow*>(table_.address(slot)), static_cast<std::uint32_t>(count),
                             static_cast<cuda::Drawn*>(out.data_ptr()), lane.native());
    if (status != 0) throw Error(Errc::device, "torch: draws cannot be started: CUDA error " + std::to_string(status));
    drawn_ = queued_to_host(out);
  }

  /// After the lane was waited for.
  void finish() const {
    if (rows_.empty()) return;
    const auto* const drawn = static_cast<const cuda::Drawn*>(drawn_.const_data_ptr());
    for (std::size_t i = 0; i < rows_.size(); ++i) *rows_[i].drawn = cuda::score_of(drawn[i], rows_[i].row);
  }

 private:
  struct Row {
    cuda::DrawRow row;
    std::int64_t at;
    Parcel::Slot adjustments, mask;
    TokenScore* drawn;
  };
  std::vector<Row> rows_;
  Parcel payload_, table_;
  at::Tensor work_, drawn_;
};

/// One head_rows of rows at most.
class Piece {
 public:
  Piece(std::span<const WantedRow> wanted, std::uint32_t vocab, const Device& device) : device_(device) {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const WantedRow& w = wanted[i];
      const bool taken = device.kernels != nullptr && w.draw != nullptr && draws_.take(w, wide(i), vocab);
      if (taken && w.logits.empty()) continue;
      at_host_.push_back(wide(i));
      rows_.push_back({w.logits, taken ? nullptr : w.draw, w.drawn});
    }
  }

  void run(const at::Tensor& logits, const Lane& lane, backend::Drawer& drawer) {
    draws_.start(logits, device_, lane);
    at::Tensor host;
    if (!rows_.empty()) host = queued_to_host(select_rows(logits, at_host_));
    lane.wait();
    draws_.finish();
    const auto vocab = static_cast<std::size_t>(logits.size(1));
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const std::span<const float> x(static_cast<const float*>(host.const_data_ptr()) + i * vocab, vocab);
      if (!rows_[i].logits.empty()) std::copy(x.begin(), x.end(), rows_[i].logits.begin());
      if (rows_[i].draw != nullptr) *rows_[i].drawn = drawer.draw(x, *rows_[i].draw);
    }
  }

 private:
  struct AtHost {
    std::span<float> logits;
    const DrawSpec* draw;
    TokenScore* drawn;
  };
  const Device& device_;
  DeviceDraws draws_;
  std::vector<std::int64_t> at_host_;
  std::vector<AtHost> rows_;
};

}  // namespace

void fill_outputs(const Batch& batch, std::uint32_t vocab, const at::Tensor& hidden, const HeadOf& head,
                  const Device& device, const Lane& lane) {
  const std::vector<WantedRow> wanted = wanted_rows(batch, vocab);
  backend::Drawer drawer;
  for (std::size_t at = 0; at < wanted.size(); at += head_rows) {
    const auto part = std::span(wanted).subspan(at, std::min<std::size_t>(head_rows, wanted.size() - at));
    std::vector<std::int64_t> rows;
    for (const WantedRow& w : part) rows.push_back(w.row);
    Piece(part, vocab, device).run(head(select_rows(hidden, rows)), lane, drawer);
  }
}

}  // namespace frugal::aten

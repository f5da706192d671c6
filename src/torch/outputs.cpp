#include "torch/outputs.hpp"

#include <frugal/core/error.hpp>

#include <ATen/ops/index_select.h>

#include <algorithm>
#include <cstdint>
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

/// `shape`: rows stand where padding has put them.
std::vector<WantedRow> wanted_rows(const Batch& batch, std::uint32_t vocab, const StepShape* shape) {
  std::vector<WantedRow> all;
  std::size_t end = 0, drawn = 0;
  for (const Segment& s : batch.segments) {
    const std::size_t rows = s.tokens.size(), copied = s.logits.size() / vocab;
    end += shape == nullptr ? rows : shape->rows;
    for (std::size_t left = backend::wanted_rows(s, vocab); left > 0; --left) {
      WantedRow w{.row = wide(end - left)};
      if (left <= copied) w.logits = s.logits.subspan((copied - left) * vocab, vocab);
      if (left <= s.draws.size()) w.draw = &s.draws[s.draws.size() - left], w.drawn = &batch.drawn[drawn++];
      all.push_back(w);
    }
  }
  return all;
}

}  // namespace

KeptDistributions::Slot* KeptDistributions::find(DrawRef draw) {
  const auto slot = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& s) {
    return s.draw.ticket == draw.ticket && s.draw.draw == draw.draw;
  });
  return slot == slots_.end() ? nullptr : &*slot;
}

at::Tensor KeptDistributions::row(const Slot& slot) {
  return rows_.floats(most, width_).select(0, &slot - slots_.data()).narrow(0, 0, slot.vocab);
}

at::Tensor KeptDistributions::place(DrawRef draw, std::int64_t vocab) {
  if (const Slot* const slot = find(draw)) return row(*slot);
  Slot& slot = slots_[next_++ % most];
  if (slot.draw.ticket == draw.ticket)
    throw Error(Errc::invalid_argument, "backend: a pass keeps more than " + std::to_string(most) +
                                            " distributions (traits().kept_distributions)");
  slot = {draw, vocab};
  return row(slot);
}

at::Tensor KeptDistributions::named(DrawRef draw) {
  if (const Slot* const slot = find(draw)) return row(*slot);
  throw Error(Errc::invalid_argument, "backend: ticket " + std::to_string(draw.ticket.value) +
                                          " did not keep the distribution of its draw " + std::to_string(draw.draw) +
                                          ", or " + std::to_string(most) + " were kept since");
}

/// Of a round of as many steps as one is likely to have.
std::size_t OutputPlace::record_bytes(std::int64_t rows) {
  constexpr std::size_t steps = 16;
  return steps * static_cast<std::size_t>(rows) * sizeof(cuda::Drawn);
}

void OutputPlace::reserve(std::int64_t rows, std::int64_t vocab) {
  const std::size_t drawn = record_bytes(rows);
  logits.floats(rows, vocab), work.floats(rows, vocab), records.bytes(drawn);
  returns.reserve(Returns::records, drawn);
  kept.reserve(vocab);
}

std::size_t OutputPlace::reserved_bytes(std::int64_t rows, std::int64_t vocab) {
  const auto row = static_cast<std::size_t>(vocab) * sizeof(float), n = static_cast<std::size_t>(rows);
  return n * 2 * row + record_bytes(rows) + KeptDistributions::most * row;
}

/// head_rows rows at most.
class Outputs::Piece {
 public:
  /// `all_rows`: of the batch. Where it is `padded`, logits of all of them are made, and each has a place for a draw.
  Piece(std::span<const WantedRow> wanted, const OutputsOf& of, std::int64_t all_rows, OutputPlace& place)
      : place_(place),
        vocab_(of.vocab),
        count_(of.shape != nullptr ? all_rows : wide(wanted.size())),
        records_at_(of.records) {
    const bool padded = of.shape != nullptr;
    if (count_ != all_rows)
      for (const WantedRow& w : wanted) rows_.push_back(w.row);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const WantedRow& w = wanted[i];
      const bool here = place.device.kernels != nullptr && w.draw != nullptr;
      const std::size_t slot = padded ? static_cast<std::size_t>(w.row) : draws_.size();
      if (here) draws_.push_back({cuda::prepare(*w.draw, of.vocab), w.draw, w.drawn, padded ? w.row : wide(i), slot});
      if (here && w.logits.empty()) continue;
      at_host_.push_back(wide(i));
      host_rows_.push_back({w.logits, here ? nullptr : w.draw, w.drawn});
    }
    table_rows_ = padded ? static_cast<std::size_t>(all_rows) : draws_.size();
  }

  void plan(Parcel& parcel) {
    rows_slot_ = parcel.add(rows_);
    if (wide(at_host_.size()) != count_) host_slot_ = parcel.add(at_host_);
    table_slot_ = parcel.reserve<cuda::DrawRow>(table_rows_);
    for (Draw& d : draws_) plan(parcel, d);
  }

  /// Takes the memory that all parts share.
  void reserve() {
    if (draws_.empty()) return;
    place_.logits.floats(count_, vocab_), place_.work.floats(wide(table_rows_), vocab_);
    place_.distributions.floats(asked_, vocab_), records();
  }

  /// Where everything lies is known now. `keep` gives the place of a distribution that stays on the device, if it does.
  template <class Keep>
  void settle(Parcel& parcel, Keep keep) {
    if (draws_.empty()) return;
    auto* const logits = static_cast<float*>(place_.logits.floats(count_, vocab_).data_ptr());
    auto* const work = static_cast<float*>(place_.work.floats(wide(table_rows_), vocab_).data_ptr());
    auto* const lists = reinterpret_cast<cuda::Listed*>(static_cast<std::byte*>(records().data_ptr()) +
                                                        table_rows_ * sizeof(cuda::Drawn));
    if (asked_ > 0) asked_rows_ = place_.distributions.floats(asked_, vocab_);
    std::vector<cuda::DrawRow> table(table_rows_);  // what pads it has no tokens
    for (Draw& d : draws_) {
      cuda::DrawRow& row = d.prepared.row;
      row.logits = logits + d.at * vocab_, row.x = work + wide(d.slot) * vocab_, row.list = lists + d.list;
      row.adjustments = static_cast<const cuda::Adjustment*>(parcel.address(d.adjustments));
      row.mask = static_cast<const std::uint32_t*>(parcel.address(d.mask));
      if (cuda::judges(*d.spec))
        row.draft = static_cast<const float*>(d.kept.defined() ? d.kept.const_data_ptr() : parcel.address(d.draft));
      d.staying = keep(d.drawn, *d.spec);
      const at::Tensor into = d.staying.defined() || d.asked < 0 ? d.staying : asked_rows_.select(0, d.asked);
      row.distribution = into.defined() ? static_cast<float*>(into.data_ptr()) : nullptr;
      table[d.slot] = row;
    }
    parcel.fill(table_slot_, std::span<const cuda::DrawRow>(table));
  }

  void run(const Parcel& parcel, const at::Tensor& hidden, const HeadOf& head) {
    at::Tensor logits =
        head(rows_.empty() ? hidden : at::index_select(hidden, 0, parcel.tensor(rows_slot_, at::kLong)));
    if (draws_.empty()) {
      logits = logits.to(at::kFloat).contiguous();
    } else {
      logits = place_.logits.floats(count_, vocab_).copy_(logits);
      start_draws(parcel);
    }
    logits_ = logits;
  }

  void bring(const Parcel& parcel) {
    bring_draws();
    if (host_rows_.empty()) return;
    const at::Tensor logits = std::exchange(logits_, {});
    const bool all = wide(at_host_.size()) == count_;
    host_ = place_.returns.bring(Returns::logits,
                                 all ? logits : at::index_select(logits, 0, parcel.tensor(host_slot_, at::kLong)));
  }

  void take(const at::Tensor& host) { records_ = host.narrow(0, wide(records_at_), wide(record_bytes())); }
  std::size_t record_bytes() const { return table_rows_ * sizeof(cuda::Drawn) + listed_ * sizeof(cuda::Listed); }

  /// Of every place of the table.
  at::Tensor tokens() const {
    constexpr std::int64_t ints = sizeof(cuda::Drawn) / sizeof(std::int32_t);
    return records().narrow(0, 0, wide(table_rows_ * sizeof(cuda::Drawn))).view(at::kInt).view({-1, ints}).select(1, 0);
  }

  void finish(backend::Drawer& drawer) {
    const auto vocab = static_cast<std::size_t>(vocab_);
    finish_draws(vocab);
    for (std::size_t i = 0; i < host_rows_.size(); ++i) {
      const std::span<const float> x(static_cast<const float*>(host_.const_data_ptr()) + i * vocab, vocab);
      if (!host_rows_[i].logits.empty()) std::copy(x.begin(), x.end(), host_rows_[i].logits.begin());
      if (host_rows_[i].draw != nullptr) *host_rows_[i].drawn = drawer.draw(x, *host_rows_[i].draw);
    }
  }

 private:
  /// A draw that the device makes.
  struct Draw {
    cuda::PreparedDraw prepared;
    const DrawSpec* spec;
    TokenScore* drawn;
    std::int64_t at;   // row of the piece
    std::size_t slot;  // of the table
    Parcel::Slot adjustments{}, mask{}, draft{};
    at::Tensor kept{};        // what the draft was drawn from, where that is on the device
    at::Tensor staying{};     // where its own distribution stays
    std::size_t list = 0;     // where its list begins
    std::int64_t asked = -1;  // row of the distributions that the host asked for
  };
  struct AtHost {
    std::span<float> logits;
    const DrawSpec* draw;
    TokenScore* drawn;
  };

  void plan(Parcel& parcel, Draw& d) {
    d.adjustments = parcel.add(d.prepared.adjustments);
    d.mask = parcel.add(d.spec->mask);
    d.list = listed_;
    listed_ += d.prepared.row.listed;
    if (d.spec->distribution != nullptr) d.asked = asked_++;
    if (!cuda::judges(*d.spec)) return;
    if (d.spec->draft.ticket == Ticket{}) {
      d.draft = parcel.add(d.spec->draft_distribution);
      return;
    }
    d.kept = place_.kept.named(d.spec->draft);
    backend::check_draft(*d.spec, static_cast<std::size_t>(d.kept.size(0)), static_cast<std::size_t>(vocab_),
                         d.prepared.row.tokens);
  }

  at::Tensor records() const {
    return place_.records.bytes(records_at_ + record_bytes()).narrow(0, wide(records_at_), wide(record_bytes()));
  }

  void start_draws(const Parcel& parcel) {
    const auto* const table = static_cast<const cuda::DrawRow*>(parcel.address(table_slot_));
    const at::Tensor out = records();
    const int status = place_.device.kernels->draw(table, static_cast<std::uint32_t>(table_rows_),
                                                   static_cast<cuda::Drawn*>(out.data_ptr()), place_.lane.native());
    if (status != 0) throw Error(Errc::device, "torch: draws cannot be started: CUDA error " + std::to_string(status));
  }

  void bring_draws() {
    if (draws_.empty()) return;
    records_ = place_.returns.bring(Returns::records, records());
    for (const Draw& d : draws_)
      if (d.staying.defined() && d.asked >= 0) asked_rows_.select(0, d.asked).copy_(d.staying);
    if (asked_ > 0) asked_host_ = place_.returns.bring(Returns::distributions, asked_rows_);
  }

  void finish_draws(std::size_t vocab) const {
    if (draws_.empty()) return;
    const auto* const drawn = static_cast<const cuda::Drawn*>(records_.const_data_ptr());
    const auto* const lists = reinterpret_cast<const cuda::Listed*>(drawn + table_rows_);
    for (const Draw& d : draws_) {
      *d.drawn = cuda::score_of(drawn[d.slot], d.prepared.row, {lists + d.list, d.prepared.row.listed});
      if (d.asked < 0) continue;
      const auto* const p =
          static_cast<const float*>(asked_host_.const_data_ptr()) + static_cast<std::size_t>(d.asked) * vocab;
      d.spec->distribution->assign(p, p + vocab);
    }
  }

  OutputPlace& place_;
  std::int64_t vocab_, count_, asked_ = 0;
  std::size_t listed_ = 0, table_rows_ = 0, records_at_;
  std::vector<std::int64_t> rows_, at_host_;  // of the batch; of the piece. rows_ is empty where it is all of them
  Parcel::Slot rows_slot_, host_slot_, table_slot_;
  std::vector<Draw> draws_;
  std::vector<AtHost> host_rows_;
  at::Tensor logits_, records_, host_, asked_rows_, asked_host_;
};

Outputs::Outputs(const OutputsOf& of, OutputPlace& place)
    : place_(place),
      vocab_(of.vocab),
      rows_(of.shape != nullptr ? of.shape->rows : 1),
      ticket_(of.ticket),
      first_(of.first) {
  const std::vector<WantedRow> wanted = wanted_rows(of.batch, of.vocab, of.shape);
  std::size_t rows = 0;
  for (const Segment& s : of.batch.segments) rows += s.tokens.size();
  if (of.shape != nullptr) rows = of.shape->all_rows();
  for (std::size_t at = 0; at < wanted.size(); at += head_rows) {
    const auto part = std::span(wanted).subspan(at, std::min<std::size_t>(head_rows, wanted.size() - at));
    pieces_.push_back(std::make_unique<Piece>(part, of, wide(rows), place));
  }
}

Outputs::~Outputs() = default;

void Outputs::plan(Parcel& parcel) {
  for (const auto& piece : pieces_) piece->plan(parcel);
}

void Outputs::reserve() {
  for (const auto& piece : pieces_) piece->reserve();
}

std::size_t Outputs::record_bytes() const { return pieces_.empty() ? 0 : pieces_.front()->record_bytes(); }

at::Tensor Outputs::drawn_tokens() const {
  return pieces_.front()->tokens().slice(0, rows_ - 1, std::nullopt, rows_).to(at::kLong).clamp_min(0);
}

void Outputs::settle(Parcel& parcel) {
  const auto keep = [&](const TokenScore* drawn, const DrawSpec& spec) -> at::Tensor {
    if (!spec.keep_distribution || ticket_ == Ticket{}) return {};
    return place_.kept.place({ticket_, static_cast<std::uint32_t>(drawn - first_)}, vocab_);
  };
  for (const auto& piece : pieces_) piece->settle(parcel, keep);
}

void Outputs::run(const Parcel& parcel, const at::Tensor& hidden, const HeadOf& head) {
  for (const auto& piece : pieces_) {
    piece->run(parcel, hidden, head);
    if (piece == pieces_.back()) break;
    piece->bring(parcel);
    place_.lane.wait();
    piece->finish(drawer_);
  }
}

void Outputs::bring(const Parcel& parcel) {
  if (!pieces_.empty()) pieces_.back()->bring(parcel);
}

void Outputs::take(const at::Tensor& host) { pieces_.front()->take(host); }

void Outputs::finish() {
  if (!pieces_.empty()) pieces_.back()->finish(drawer_);
}

}  // namespace frugal::aten

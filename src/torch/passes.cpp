#include "torch/passes.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "backend/contract.hpp"
#include "backend/rounds.hpp"

namespace frugal::aten {
namespace {

/// Hidden states that segments want after this layer, brought to the host.
void copy_hidden(const Batch& batch, const Decoder& d, std::uint32_t layer, const at::Tensor& x) {
  std::int64_t end = 0;
  for (const Segment& s : batch.segments) {
    end += static_cast<std::int64_t>(s.tokens.size());
    if (s.hidden.empty() || s.hidden_layer != layer) continue;
    const auto rows = static_cast<std::int64_t>(backend::hidden_rows(s, d.spec()));
    const at::Tensor state = x.narrow(0, end - rows, rows);
    const at::Tensor sent = (s.hidden_normed ? d.normed(state) : state).to(at::kCPU, at::kFloat).contiguous();
    std::copy_n(sent.data_ptr<float>(), s.hidden.size(), s.hidden.data());
  }
}

/// The shape of all steps: the first one's rows, the last one's pages.
std::optional<StepShape> shape_of(const Batch& first, const Batch& last, std::uint32_t page_tokens) {
  std::optional<StepShape> shape = step_shape(first, page_tokens);
  if (!shape) return shape;
  const std::optional<StepShape> end = step_shape(last, page_tokens);
  if (!end) return end;
  shape->pages = std::max(shape->pages, end->pages);
  return shape;
}

}  // namespace

/// One step of a pass: the batch, and what is known of it before it runs.
class Passes::Step {
 public:
  explicit Step(const Batch& whole) : batch(whole) {}
  explicit Step(backend::RoundStep part) : own(std::move(part)), batch(own->batch) {}

  std::optional<backend::RoundStep> own;
  const Batch batch;
  std::optional<StepShape> shape{};
  PlannedStep planned{};
  std::unique_ptr<Outputs> outputs{};
};

Passes::Passes(const Device& device, const Lane& lane, const Decoders& decoders)
    : lane_(lane), decoders_(decoders), timer_(lane), parcel_(device.device), outputs_(device, lane) {
  if (device.make_recorder != nullptr)
    graphs_ = std::make_unique<StepGraphs>(device.make_recorder(lane, device.device));
}

void Passes::reserve(std::int64_t vocab) {
  parcel_.reserve();
  if (outputs_.device.kernels != nullptr) outputs_.reserve(head_rows, vocab);
}

std::size_t Passes::reserved_bytes(std::int64_t vocab) const {
  const std::size_t draws = outputs_.device.kernels == nullptr ? 0 : OutputPlace::reserved_bytes(head_rows, vocab);
  return Parcel::least_bytes + draws;
}

/// Another number when memory that recorded steps read or write lies elsewhere. Models may share all but their tables.
std::uint64_t Passes::moves() const {
  std::uint64_t sum = parcel_.moves() + outputs_.logits.moves() + outputs_.work.moves() + outputs_.records.moves();
  for (const auto& d : decoders_) sum += d->moves();
  return sum;
}

void Passes::run(const Of& of, PassReport& report) {
  std::vector<Step> steps;
  steps.emplace_back(of.batch);
  run(of, steps, report);
}

void Passes::draft(const Of& of, std::uint32_t count, PassReport& report) {
  std::vector<Step> steps;
  for (std::uint32_t k = 0; k < count; ++k) steps.emplace_back(backend::round_step(of.batch, k, backend::Fed::later));
  run(of, steps, report);
}

/// Puts all that the steps read into the parcel.
void Passes::plan(const Of& of, std::vector<Step>& steps) {
  std::optional<StepShape> shape;
  if (graphs_ && of.decoder.can_be_recorded())
    shape = shape_of(steps.front().batch, steps.back().batch, of.page_tokens);
  std::size_t records = 0;
  for (Step& s : steps) {
    s.shape = shape;
    if (shape && &s != &steps.front()) s.shape->rows = 1;
    const StepShape* const padded = s.shape ? &*s.shape : nullptr;
    s.planned = of.decoder.plan(s.batch.segments, padded, parcel_);
    s.outputs = std::make_unique<Outputs>(
        OutputsOf{s.batch, of.decoder.spec().vocab, of.ticket, of.first, padded, records}, outputs_);
    s.outputs->plan(parcel_);
    records += s.outputs->record_bytes();
  }
  parcel_.settle();
  for (const Step& s : steps) s.outputs->reserve();
  for (const Step& s : steps) s.outputs->settle(parcel_);
}

/// The same work every time where steps are padded. From the second step on a row's token is what its sequence drew.
void Passes::work(const Of& of, std::vector<Step>& steps) {
  const Decoder& d = of.decoder;
  const Step* before = nullptr;
  for (Step& s : steps) {
    StepPlan plan = d.finish(s.planned, parcel_);
    if (before != nullptr) plan.tokens = before->outputs->drawn_tokens();
    const at::Tensor hidden =
        d.run(plan, backend::layers_of(s.batch, d.spec()),
              [&](std::uint32_t layer, const at::Tensor& x) { copy_hidden(s.batch, d, layer, x); });
    s.outputs->run(parcel_, hidden, [&](const at::Tensor& rows) { return d.logits(rows); });
    before = &s;
  }
}

void Passes::bring(std::vector<Step>& steps) {
  if (steps.size() == 1) return steps.front().outputs->bring(parcel_);
  std::size_t bytes = 0;
  for (const Step& s : steps) bytes += s.outputs->record_bytes();
  const at::Tensor host = outputs_.returns.bring(Returns::records, outputs_.records.bytes(bytes));
  for (const Step& s : steps) s.outputs->take(host);
}

/// One copy goes to the device; nobody waits before the end, which is the only wait of a pass whose draws are made in one
/// part.
void Passes::run(const Of& of, std::vector<Step>& steps, PassReport& report) {
  timer_.start();
  parcel_.open(lane_);
  outputs_.returns.open();
  plan(of, steps);
  parcel_.send(lane_);
  const auto all = [&] { work(of, steps); };
  if (steps.front().shape) {
    const auto count = static_cast<std::uint32_t>(steps.size());
    report.replayed = graphs_->run({of.batch.model, *steps.front().shape, count}, moves(), all);
    if (const std::string why = graphs_->failure(); !why.empty())
      report.gave_up = "steps are no longer recorded as graphs: " + why;
  } else {
    all();
  }
  bring(steps);
  const std::optional<Duration> took = timer_.stop();
  for (const Step& s : steps) s.outputs->finish();
  if (took) report.device_time = report.device_time.value_or(Duration{}) + *took;
}

}  // namespace frugal::aten

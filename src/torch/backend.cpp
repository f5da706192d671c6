// TorchBackend: one at::empty(uint8) is the arena of all models; a step is plan -> run -> outputs, on the backend's own
// stream.
#include <frugal/torch/backend.hpp>

#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/contract.hpp"
#include "backend/rounds.hpp"
#include "torch/decoder.hpp"
#include "torch/device.hpp"
#include "torch/factory.hpp"
#include "torch/guard.hpp"
#include "torch/halved.hpp"
#include "torch/lane.hpp"
#include "torch/passes.hpp"

namespace frugal {
namespace {

/// Of a device; LibTorch before 2.10 does not tell.
template <class Allocator>
std::optional<std::size_t> free_of(Allocator& allocator, c10::DeviceIndex device) {
  if constexpr (requires { allocator.getMemoryInfo(device); })
    return allocator.getMemoryInfo(device).first;
  else
    return std::nullopt;
}

class TorchBackend final : public Backend {
  template <class F>
  decltype(auto) guarded(const char* what, F&& f) const {
    return aten::guarded(what, !device_.is_host(), [&]() -> decltype(auto) { return lane_.on(std::forward<F>(f)); });
  }

 public:
  explicit TorchBackend(aten::Device device)
      : device_(std::move(device)), lane_(device_.device), passes_(device_, lane_, decoders_) {}

  std::string_view name() const override { return "torch"; }

  /// Matrix products choose their split by the number of rows, so bits move with the batch; the tolerances are those
  /// the tests hold them to.
  BackendTraits traits() const override {
    const bool fp32 = device_.compute == c10::ScalarType::Float;
    BackendTraits t{.device = device_.name,
                    .batch_invariant = false,
                    .logit_tolerance = fp32 ? 1e-3F : 0.5F,
                    .hidden_states = true};
    if (device_.is_host()) return t;
    t.device_draws = device_.kernels != nullptr;
    t.draft_rounds = t.device_draws ? aten::head_rows : 0;
    t.wants_own_thread = true;
    // By the roofline of an H100 in bf16 products stop being free at about 300 rows, and 8 is where products with
    // quantised weights change; not measured.
    t.chunk = t.step_rows = 1024;
    t.widths = {1, 2, 4, 8, 9, 16, 32};
    if (t.device_draws) t.kept_distributions = aten::KeptDistributions::most;
    t.workspace_bytes = beside_arena();
    t.free_bytes = bound_free_bytes_ ? bound_free_bytes_ : free_bytes();
    return t;
  }

  ModelId add_model(std::shared_ptr<const Model> model) override {
    return guarded("torch: weights", [&] {
      decoders_.push_back(std::make_unique<aten::Decoder>(std::move(model), device_, lane_));
      lane_.wait();  // other backends may share the weights, on lanes of their own
      return ModelId{static_cast<std::uint32_t>(decoders_.size() - 1)};
    });
  }

  std::size_t kv_bytes_per_token(ModelId model) const override { return decoder(model).kv_bytes_per_token(); }

  void bind_arena(const ArenaLayout& layout) override {
    std::vector<std::size_t> kv;
    for (const auto& d : decoders_) kv.push_back(d->kv_bytes_per_token());
    geometry_ = backend::check_layout(layout, kv);
    passes_.forget_recordings();
    const std::optional<std::size_t> free = device_.is_host() ? std::nullopt : free_bytes();
    guarded("torch: arena", [&] {
      const auto options = at::TensorOptions(at::kByte).device(device_.device);
      arena_ = at::empty({static_cast<std::int64_t>(layout.bytes + scratch_bytes())}, options);
      arena_.narrow(0, static_cast<std::int64_t>(layout.bytes), static_cast<std::int64_t>(scratch_bytes())).zero_();
      for (std::size_t i = 0; i < decoders_.size(); ++i)
        decoders_[i]->bind(arena_, geometry_.models[i], static_cast<std::int64_t>(layout.bytes / granule_bytes));
      if (!device_.is_host()) reserve();
    });
    bound_free_bytes_ = free;
  }

  void copy_pages(std::span<const PageCopy> copies) override {
    backend::check_copies(copies, geometry_);
    guarded("torch: copy_pages", [&] {
      for (const PageCopy& c : copies) copy_page(c);
    });
  }

  void forward(const Batch& batch) override { forward(batch, Ticket{}); }

  /// Where the pass has a ticket, draws may name distributions that are on the device, and leave theirs there.
  void forward(const Batch& batch, Ticket ticket) {
    backend::check_batch(batch, geometry_, decoder(batch.model).spec(), BackendTraits{}.max_rows, ticket != Ticket{});
    report_ = {};
    if (batch.segments.empty()) return;
    watched([&] { run(batch, ticket, batch.drawn.data()); });
  }

  /// The pass is done when this returns; the ticket keeps how long the device took.
  Ticket submit(const Batch& batch) override {
    report_ = {};
    const Ticket ticket = device_.kernels == nullptr
                              ? Backend::submit(batch)
                              : run_keeping(batch, [&](const Batch& pass, Ticket own) { forward(pass, own); });
    return reported(ticket);
  }
  Ticket draft(const DraftRound& round) override {
    report_ = {};
    if (device_.kernels == nullptr) return Backend::draft(round);
    return reported(run_keeping(round.first, [&](const Batch& first, Ticket own) {
      const DraftRound whole{first, round.steps};
      backend::check_round(whole, geometry_, decoder(first.model).spec(), {.draft_rounds = aten::head_rows});
      watched([&] { run(whole, first, own); });
    }));
  }
  PassReport wait(Ticket ticket) override {
    PassReport report = std::exchange(reports_[ticket.value % ticket_memory], {});
    Backend::wait(ticket);
    return report;
  }

  bool healthy() const noexcept override { return healthy_.load(std::memory_order_relaxed); }

  Ticket read_pages(std::span<const PageRead> pages) override {
    return run_now([&] {
      guarded("torch: read_pages", [&] {
        for (const PageRead& p : pages)
          host(p.bytes.data(), p.bytes.size()).copy_(page(p.model, p.page, p.bytes.size()));
      });
    });
  }

  Ticket write_pages(std::span<const PageWrite> pages) override {
    return run_now([&] {
      guarded("torch: write_pages", [&] {
        for (const PageWrite& p : pages)
          page(p.model, p.page, p.bytes.size()).copy_(host(const_cast<std::byte*>(p.bytes.data()), p.bytes.size()));
      });
    });
  }

  std::uint64_t layout_fingerprint(ModelId id) const override {
    const aten::Decoder& d = decoder(id);
    if (id.index() >= geometry_.models.size()) return 0;
    const std::string order =
        "torch 1 [layer][K|V][token][head] " + std::string(c10::toString(device_.compute)) + " " + device_.name;
    return backend::layout_number(order, d.spec(), d.model().fingerprint(), geometry_.models[id.index()].page_tokens);
  }

 private:
  aten::Decoder& decoder(ModelId id) const {
    if (id.index() >= decoders_.size()) throw Error(Errc::invalid_argument, "torch: unknown model");
    return *decoders_[id.index()];
  }

  /// The most that any model's passes of so many rows take for a while.
  std::size_t activations(std::uint32_t rows) const {
    std::size_t most = 0;
    for (const auto& d : decoders_) most = std::max(most, d->workspace_bytes(rows));
    return most;
  }
  Ticket reported(Ticket ticket) {
    reports_[ticket.value % ticket_memory] = report_;
    return ticket;
  }
  std::int64_t widest_vocab() const {
    std::int64_t most = 0;
    for (const auto& d : decoders_) most = std::max<std::int64_t>(most, d->spec().vocab);
    return most;
  }
  /// What passes need of the device beside the arena. Recordings have memory of their own for their activations.
  std::size_t beside_arena() const {
    std::size_t bytes = activations(BackendTraits{}.max_rows);
    if (passes_.are_recorded()) bytes += activations(aten::head_rows);
    return bytes + passes_.reserved_bytes(widest_vocab());
  }
  /// What a pass will need is taken once, so that it is there: some is kept here, for the rest LibTorch keeps it.
  void reserve() {
    passes_.reserve(widest_vocab());
    at::empty({static_cast<std::int64_t>(activations(BackendTraits{}.max_rows))},
              at::TensorOptions(at::kByte).device(device_.device));
  }

  /// What an arena may take: the device's free memory without that.
  std::optional<std::size_t> free_bytes() const {
    try {
      const auto free = free_of(*c10::getDeviceAllocator(device_.device.type()), device_.device.index());
      if (!free) return std::nullopt;
      const std::size_t beside = beside_arena();
      return *free > beside ? *free - beside : 0;
    } catch (const c10::Error&) {
      return std::nullopt;
    }
  }

  /// A fault of a CUDA kernel is reported by every later call: then the context is lost for good.
  bool responds() const noexcept {
    try {
      guarded("torch: probe",
              [&] { at::zeros({1}, at::TensorOptions(at::kByte).device(device_.device)).to(at::kCPU); });
      return true;
    } catch (...) {
      return false;
    }
  }

  at::Tensor page(ModelId model, Granule page, std::size_t bytes) const {
    const std::size_t at =
        backend::check_page_bytes(model, page, bytes, geometry_, decoder(model).kv_bytes_per_token());
    return arena_.narrow(0, static_cast<std::int64_t>(at), static_cast<std::int64_t>(bytes));
  }
  static at::Tensor host(void* bytes, std::size_t size) {
    return at::from_blob(bytes, {static_cast<std::int64_t>(size)}, at::TensorOptions(at::kByte));
  }

  void copy_page(const PageCopy& c) {
    const aten::KvView& kv = decoder(c.model).kv();
    const std::int64_t layers = decoder(c.model).spec().layers;
    const auto head = [&](Granule page) {  // [layer and K|V, tokens, width]
      return kv.arena.as_strided({layers * 2, c.tokens, kv.width}, {kv.page_tokens * kv.width, kv.width, 1},
                                 page * kv.granule);
    };
    head(c.to).copy_(head(c.from));
  }

  aten::Passes::Of pass_of(const Batch& batch, Ticket ticket, const TokenScore* first) {
    return {batch, decoder(batch.model), geometry_.models[batch.model.index()].page_tokens, ticket, first};
  }

  /// In halves where memory does not suffice for the whole.
  void run(const Batch& batch, Ticket ticket, const TokenScore* first) {
    const DecoderSpec& spec = decoder(batch.model).spec();
    aten::run_or_halve(batch, spec.d_model, spec.vocab, [&](const Batch& part) {
      guarded("torch: forward", [&] { passes_.run(pass_of(part, ticket, first), report_); });
    });
  }

  /// Step after step, by way of the host, where memory does not suffice for all of them at once.
  void run(const DraftRound& round, const Batch& first, Ticket ticket) {
    try {
      return guarded("torch: drafts",
                     [&] { passes_.draft(pass_of(first, ticket, first.drawn.data()), round.steps, report_); });
    } catch (const Error& error) {
      if (error.code() != Errc::out_of_memory) throw;
    }
    for (std::uint32_t k = 0; k < round.steps; ++k)
      run(backend::round_step(first, k, backend::Fed::now).batch, ticket, first.drawn.data());
  }

  /// Runs f; a device that no longer answers after its error is not healthy.
  template <class F>
  void watched(F&& f) {
    try {
      f();
    } catch (const Error& error) {
      if (error.code() == Errc::device && !responds()) healthy_.store(false, std::memory_order_relaxed);
      throw;
    }
  }

  /// The page that rows write to which pad a step.
  std::size_t scratch_bytes() const {
    std::size_t most = 0;
    if (passes_.are_recorded())
      for (const PageGeometry& g : geometry_.models) most = std::max(most, g.page_bytes);
    return most;
  }

  aten::Device device_;
  aten::Lane lane_;
  PassReport report_;  // of the last pass
  std::array<PassReport, ticket_memory> reports_{};
  std::optional<std::size_t> bound_free_bytes_;
  aten::Passes::Decoders decoders_;
  aten::Passes passes_;
  backend::BoundArena geometry_;
  at::Tensor arena_;
  std::atomic<bool> healthy_{true};
};

}  // namespace

std::unique_ptr<Backend> aten::make_backend(aten::Device device) {
  const bool on_device = !device.is_host();
  return aten::guarded("torch: device", on_device, [&] { return std::make_unique<TorchBackend>(std::move(device)); });
}

std::unique_ptr<Backend> torch_backend(const TorchOptions& options) {
  return aten::make_backend(aten::open_device(options));
}

}  // namespace frugal

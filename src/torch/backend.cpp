// TorchBackend: one at::empty(uint8) is the arena of all models; a step is plan -> run -> logits of the rows that need
// them -> draw on the host.
#include <frugal/torch/backend.hpp>

#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <atomic>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/contract.hpp"
#include "torch/decoder.hpp"
#include "torch/device.hpp"
#include "torch/guard.hpp"

namespace frugal {
namespace {

class TorchBackend final : public Backend {
  template <class F>
  decltype(auto) guarded(const char* what, F&& f) const {
    return aten::guarded(what, device_.is_cuda(), std::forward<F>(f));
  }

 public:
  explicit TorchBackend(aten::Device device) : device_(std::move(device)) {}

  std::string_view name() const override { return "torch"; }

  /// Matrix products choose their split by the number of rows, so bits move with the batch; the tolerances are those
  /// the tests hold them to.
  BackendTraits traits() const override {
    const bool fp32 = device_.compute == c10::ScalarType::Float;
    return {.device = device_.name,
            .batch_invariant = false,
            .logit_tolerance = fp32 ? 1e-3F : 0.5F,
            .hidden_states = true};
  }

  ModelId add_model(std::shared_ptr<const Model> model) override {
    return guarded("torch: weights", [&] {
      decoders_.push_back(std::make_unique<aten::Decoder>(std::move(model), device_));
      return ModelId{static_cast<std::uint32_t>(decoders_.size() - 1)};
    });
  }

  std::size_t kv_bytes_per_token(ModelId model) const override { return decoder(model).kv_bytes_per_token(); }

  void bind_arena(const ArenaLayout& layout) override {
    std::vector<std::size_t> kv;
    for (const auto& d : decoders_) kv.push_back(d->kv_bytes_per_token());
    geometry_ = backend::check_layout(layout, kv);
    guarded("torch: arena", [&] {
      const auto options = at::TensorOptions(at::kByte).device(device_.device);
      arena_ = at::empty({static_cast<std::int64_t>(layout.bytes)}, options);
      for (std::size_t i = 0; i < decoders_.size(); ++i) decoders_[i]->bind(arena_, geometry_.models[i]);
    });
  }

  void copy_pages(std::span<const PageCopy> copies) override {
    backend::check_copies(copies, geometry_);
    guarded("torch: copy_pages", [&] {
      for (const PageCopy& c : copies) copy_page(c);
    });
  }

  void forward(const Batch& batch) override {
    const aten::Decoder& d = decoder(batch.model);
    backend::check_batch(batch, geometry_, d.spec(), traits().max_rows);
    if (batch.segments.empty()) return;
    try {
      guarded("torch: forward", [&] { run(batch, d); });
    } catch (const Error& error) {
      if (error.code() == Errc::device && !responds()) healthy_.store(false, std::memory_order_relaxed);
      throw;
    }
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
  /// Logits are brought to the host so many rows at a time: a prefill that asks for all of them would not fit
  /// otherwise.
  static constexpr std::size_t head_rows = 256;

  const aten::Decoder& decoder(ModelId id) const {
    if (id.index() >= decoders_.size()) throw Error(Errc::invalid_argument, "torch: unknown model");
    return *decoders_[id.index()];
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

  /// Hidden states that segments want after this layer, brought to the host.
  static void copy_hidden(const Batch& batch, const aten::Decoder& d, std::uint32_t layer, const at::Tensor& x) {
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

  void copy_page(const PageCopy& c) {
    const aten::KvView& kv = decoder(c.model).kv();
    const std::int64_t layers = decoder(c.model).spec().layers;
    const auto head = [&](Granule page) {  // [layer and K|V, tokens, width]
      return kv.arena.as_strided({layers * 2, c.tokens, kv.width}, {kv.page_tokens * kv.width, kv.width, 1},
                                 page * kv.granule);
    };
    head(c.to).copy_(head(c.from));
  }

  static std::vector<std::int64_t> wanted(const Batch& batch, std::uint32_t vocab) {
    std::vector<std::int64_t> rows;
    std::int64_t end = 0;
    for (const Segment& s : batch.segments) {
      end += static_cast<std::int64_t>(s.tokens.size());
      const auto n = static_cast<std::int64_t>(backend::wanted_rows(s, vocab));
      for (std::int64_t row = end - n; row < end; ++row) rows.push_back(row);
    }
    return rows;
  }

  at::Tensor pick(const at::Tensor& hidden, std::span<const std::int64_t> rows) const {
    const at::Tensor index = at::empty({static_cast<std::int64_t>(rows.size())}, at::TensorOptions(at::kLong));
    std::copy(rows.begin(), rows.end(), index.data_ptr<std::int64_t>());
    return at::index(hidden, {index.to(device_.device)});
  }

  void run(const Batch& batch, const aten::Decoder& d) const {
    const std::uint32_t vocab = d.spec().vocab;
    const at::Tensor hidden = d.run(d.plan(batch.segments), backend::layers_of(batch, d.spec()),
                                    [&](std::uint32_t layer, const at::Tensor& x) { copy_hidden(batch, d, layer, x); });
    const std::vector<std::int64_t> rows = wanted(batch, vocab);
    at::Tensor logits;
    std::size_t next = 0;
    backend::emit(batch, vocab, [&](std::size_t, std::size_t) -> std::span<const float> {
      const std::size_t in_chunk = next % head_rows;
      if (in_chunk == 0) {
        logits = d.logits(pick(hidden, std::span(rows).subspan(next, std::min(head_rows, rows.size() - next))));
      }
      ++next;
      return {logits.data_ptr<float>() + in_chunk * vocab, vocab};
    });
  }

  aten::Device device_;
  std::vector<std::unique_ptr<aten::Decoder>> decoders_;
  backend::BoundArena geometry_;
  at::Tensor arena_;
  std::atomic<bool> healthy_{true};
};

}  // namespace

std::unique_ptr<Backend> torch_backend(const TorchOptions& options) {
  return std::make_unique<TorchBackend>(aten::open_device(options));
}

}  // namespace frugal

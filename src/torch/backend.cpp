// TorchBackend: one at::empty(uint8) is the arena of all models; a step is plan -> run -> logits of the rows that need
// them -> draw on the host.
#include <frugal/torch/backend.hpp>

#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/index.h>

#include <algorithm>
#include <span>
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
    return {.device = device_.name, .batch_invariant = false, .logit_tolerance = fp32 ? 1e-3F : 0.5F};
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
    backend::check_batch(batch, geometry_, d.spec().vocab, traits().max_rows);
    if (batch.segments.empty()) return;
    guarded("torch: forward", [&] { run(batch, d); });
  }

 private:
  /// Logits are brought to the host so many rows at a time: a prefill that asks for all of them would not fit
  /// otherwise.
  static constexpr std::size_t head_rows = 256;

  const aten::Decoder& decoder(ModelId id) const {
    if (id.index() >= decoders_.size()) throw Error(Errc::invalid_argument, "torch: unknown model");
    return *decoders_[id.index()];
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
    const at::Tensor hidden = d.run(d.plan(batch.segments));
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
};

}  // namespace

std::unique_ptr<Backend> torch_backend(const TorchOptions& options) {
  return std::make_unique<TorchBackend>(aten::open_device(options));
}

}  // namespace frugal

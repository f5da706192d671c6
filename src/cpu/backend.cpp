#include <frugal/cpu/backend.hpp>

#include "backend/contract.hpp"
#include "cpu/decoder.hpp"
#include "cpu/factory.hpp"

#include <frugal/core/error.hpp>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace frugal {
namespace cpu {
namespace {

KvKind kind_of(KvType type) {
  switch (type) {
    case KvType::fp32:
      return KvKind::fp32;
    case KvType::int8:
      return KvKind::int8;
    default:
      return KvKind::fp16;
  }
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(const CpuOptions& options, const Kernels& kernels)
      : kernels_(kernels), kv_(kind_of(options.kv)), fine_(options.fine), crew_(options.threads, true) {}

  std::string_view name() const override { return "cpu"; }
  BackendTraits traits() const override {
    BackendTraits t;
    t.device = "cpu (" + std::string(kernels_.name);
    if (!refused_kernels().empty()) t.device += "; " + std::string(refused_kernels());
    t.device += ")";
    t.batch_invariant = true;
    return t;
  }

  ModelId add_model(std::shared_ptr<const Model> model) override {
    if (model == nullptr) throw Error(Errc::invalid_argument, "add_model: null model");
    if (arena_.data() != nullptr) throw Error(Errc::invalid_argument, "add_model after bind_arena");
    decoders_.push_back(std::make_unique<Decoder>(pack_weights(std::move(model), crew_), kernels_, crew_, kv_, fine_));
    return ModelId(static_cast<std::uint32_t>(decoders_.size() - 1));
  }

  std::size_t kv_bytes_per_token(ModelId model) const override { return decoder(model).kv_bytes_per_token(); }

  void bind_arena(const ArenaLayout& layout) override {
    if (arena_.data() != nullptr) throw Error(Errc::invalid_argument, "bind_arena called twice");
    std::vector<std::size_t> bytes;
    for (const auto& d : decoders_) bytes.push_back(d->kv_bytes_per_token());
    bound_ = backend::check_layout(layout, bytes);
    arena_ = HugeBuffer(layout.bytes);
    for (std::size_t i = 0; i < decoders_.size(); ++i) decoders_[i]->bind(arena_.data(), layout.models[i].page_tokens);
  }

  void copy_pages(std::span<const PageCopy> copies) override {
    backend::check_copies(copies, bound_);
    for (const PageCopy& c : copies) decoder(c.model).copy_page(c);
  }

  void forward(const Batch& batch) override {
    const Decoder& d = decoder(batch.model);
    backend::check_batch(batch, bound_, d.model().spec().vocab, traits().max_rows);
    decoders_[batch.model.index()]->forward(batch);
  }

 private:
  const Decoder& decoder(ModelId model) const {
    if (model.index() >= decoders_.size()) throw Error(Errc::invalid_argument, "unknown model id");
    return *decoders_[model.index()];
  }

  const Kernels& kernels_;
  KvKind kv_;
  bool fine_;
  Crew crew_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
  HugeBuffer arena_;
  backend::BoundArena bound_;
};

}  // namespace

std::unique_ptr<Backend> backend_with(const CpuOptions& options, const Kernels& kernels) {
  if (options.threads == 0) throw Error(Errc::invalid_argument, "CpuOptions.threads must be at least 1");
  return std::make_unique<CpuBackend>(options, kernels);
}

}  // namespace cpu

std::unique_ptr<Backend> cpu_backend(const CpuOptions& options) {
  return cpu::backend_with(options, *cpu::available_kernels().front());
}

}  // namespace frugal

#include <frugal/cpu/backend.hpp>

#include "backend/contract.hpp"
#include "core/caught.hpp"
#include "cpu/decoder.hpp"
#include "cpu/factory.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
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

std::string_view text(KvKind kind) { return kind == KvKind::fp32 ? "fp32" : kind == KvKind::int8 ? "int8" : "fp16"; }

class CpuBackend final : public Backend {
 public:
  CpuBackend(const CpuOptions& options, const Kernels& kernels)
      : kernels_(kernels),
        arithmetic_{kind_of(options.kv), options.fine,
                    options.prompts == PromptArithmetic::bf16 && kernels.bf16 != nullptr},
        float_weights_(options.float_weights),
        crew_(options.threads, true) {}

  std::string_view name() const override { return "cpu"; }
  BackendTraits traits() const override {
    BackendTraits t;
    t.device = "cpu (" + std::string(kernels_.name);
    if (arithmetic_.bf16_prompts) t.device += ", prompts in bf16";
    if (float_weights_ == FloatWeights::repacked) t.device += ", float weights in 8 bits";
    if (!refused_kernels().empty()) t.device += "; " + std::string(refused_kernels());
    t.device += ")";
    t.batch_invariant = true;
    t.hidden_states = true;
    t.step_rows = arithmetic_.bf16_prompts ? Decoder::bf16_step_rows : Decoder::step_rows;
    t.deferral = true;
    t.free_bytes = free_bytes_;
    t.workspace_bytes = workspace_bytes_;
    return t;
  }

  ModelId add_model(std::shared_ptr<const Model> model) override {
    if (model == nullptr) throw Error(Errc::invalid_argument, "add_model: null model");
    if (arena_.data() != nullptr) throw Error(Errc::invalid_argument, "add_model after bind_arena");
    decoders_.push_back(std::make_unique<Decoder>(shared_weights(std::move(model), crew_, float_weights_), kernels_,
                                                  crew_, arithmetic_));
    workspace_bytes_ = std::max(workspace_bytes_, decoders_.back()->workspace_bytes());
    free_bytes_ = available_memory();
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

  Ticket read_pages(std::span<const PageRead> pages) override {
    return run_now([&] {
      for (const PageRead& p : pages)
        std::memcpy(p.bytes.data(), page_at(p.model, p.page, p.bytes.size()), p.bytes.size());
    });
  }

  Ticket write_pages(std::span<const PageWrite> pages) override {
    return run_now([&] {
      for (const PageWrite& p : pages)
        std::memcpy(page_at(p.model, p.page, p.bytes.size()), p.bytes.data(), p.bytes.size());
    });
  }

  std::uint64_t layout_fingerprint(ModelId id) const override {
    const Model& model = decoder(id).model();
    if (id.index() >= bound_.models.size()) return 0;
    // These decide the numbers that keys and values are computed from.
    const std::string order = "cpu 2 [layer][K|V][head][token] " + std::string(text(arithmetic_.kv)) +
                              (arithmetic_.fine ? " fine" : "") + (arithmetic_.bf16_prompts ? " bf16 prompts" : "") +
                              (float_weights_ == FloatWeights::repacked ? " 8-bit floats" : "");
    return backend::layout_number(order, model.spec(), model.fingerprint(), bound_.models[id.index()].page_tokens);
  }

  void forward(const Batch& batch) override {
    const Decoder& d = decoder(batch.model);
    backend::check_batch(batch, bound_, d.model().spec(), BackendTraits{}.max_rows);
    decoders_[batch.model.index()]->forward(batch);
  }

 private:
  const Decoder& decoder(ModelId model) const {
    if (model.index() >= decoders_.size()) throw Error(Errc::invalid_argument, "unknown model id");
    return *decoders_[model.index()];
  }

  std::uint8_t* page_at(ModelId model, Granule page, std::size_t bytes) const {
    return arena_.data() + backend::check_page_bytes(model, page, bytes, bound_, kv_bytes_per_token(model));
  }

  const Kernels& kernels_;
  Arithmetic arithmetic_;
  FloatWeights float_weights_;
  Crew crew_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
  HugeBuffer arena_;
  backend::BoundArena bound_;
  std::optional<std::size_t> free_bytes_ = available_memory();  ///< when the last model was added
  std::size_t workspace_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Backend> backend_with(const CpuOptions& options, const Kernels& kernels) {
  if (options.threads == 0) throw Error(Errc::invalid_argument, "CpuOptions.threads must be at least 1");
  if (options.fine && options.prompts == PromptArithmetic::bf16)
    throw Error(Errc::invalid_argument, "CpuOptions.fine means 16-bit inputs, CpuOptions.prompts = bf16 8-bit ones");
  try {
    return std::make_unique<CpuBackend>(options, kernels);
  } catch (...) {  // the system starts no more threads
    throw caught_error(Errc::unavailable, "cpu_backend with " + std::to_string(options.threads) + " threads");
  }
}

}  // namespace cpu

std::unique_ptr<Backend> cpu_backend(const CpuOptions& options) {
  return cpu::backend_with(options, *cpu::available_kernels().front());
}

}  // namespace frugal

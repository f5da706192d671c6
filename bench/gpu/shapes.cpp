#include "gpu/shapes.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "model/validate.hpp"
#include "support/tiny_model.hpp"

namespace frugal::bench {
namespace {

DecoderSpec llama(std::uint32_t layers, std::uint32_t d_model, std::uint32_t d_ff, std::uint32_t heads) {
  DecoderSpec s;
  s.architecture = "llama";
  s.layers = layers, s.d_model = d_model, s.d_ff = d_ff, s.heads = heads;
  s.context = 1U << 17, s.rope_theta = 500000.0;
  return s;
}

DecoderSpec spec_of(std::string_view shape) {
  DecoderSpec s;
  if (shape == "llama-3-8b") s = llama(32, 4096, 14336, 32), s.kv_heads = 8, s.vocab = 128256;
  if (shape == "llama-3.2-1b") s = llama(16, 2048, 8192, 32), s.kv_heads = 8, s.vocab = 128256, s.tied_head = true;
  if (shape == "mistral-7b") s = llama(32, 4096, 14336, 32), s.kv_heads = 8, s.vocab = 32768;
  if (shape == "qwen2.5-1.5b") {
    s = llama(28, 1536, 8960, 12), s.kv_heads = 2, s.vocab = 151936, s.tied_head = true;
    s.architecture = "qwen2", s.qkv_bias = true;
  }
  if (shape == "smollm2-135m") s = llama(30, 576, 1536, 9), s.kv_heads = 3, s.vocab = 49152, s.tied_head = true;
  if (shape == "olmoe-1b-7b") s = llama(16, 2048, 0, 16), s.kv_heads = 16, s.vocab = 50304, s.experts = {64, 8, 1024};
  if (shape == "tiny-experts") s = llama(2, 64, 0, 4), s.kv_heads = 2, s.vocab = 512, s.experts = {6, 2, 32};
  if (shape == "tiny") s = llama(2, 64, 128, 4), s.kv_heads = 2, s.vocab = 512, s.tied_head = true;
  if (s.layers != 0) s.head_dim = s.rope_dims = s.d_model / s.heads;
  return s;
}

struct Storage {
  std::map<DType, std::vector<std::byte>> matrices;  ///< the largest of each type
  std::vector<float> ones;
};

bool is_matrix(const Tensor& t) { return t.rows > 1; }

/// The share of a tensor that one row reads.
double share(const Model& model, const Tensor& t) {
  const ExpertsSpec& e = model.spec().experts;
  bool of_experts = false;
  for (const char* part : {".ffn_gate.", ".ffn_up.", ".ffn_down."})
    of_experts |= e.count != 0 && t.name.find(part) != std::string::npos;
  if (&t == &model.embedding() && !model.spec().tied_head) return 0.0;
  return of_experts ? static_cast<double>(e.used) / e.count : 1.0;
}

}  // namespace

bool is_shape(std::string_view shape) { return spec_of(shape).layers != 0; }

std::shared_ptr<const Model> shaped_model(std::string_view shape, DType type, std::uint32_t vocab) {
  return shaped_model(
      shape, [&](std::string_view) { return type; }, vocab, 0);
}

std::shared_ptr<const Model> shaped_model(std::string_view shape, const TypeOf& type_of, std::uint32_t vocab,
                                          std::uint32_t layers) {
  ModelParts parts;
  parts.spec = spec_of(shape);
  if (!is_shape(shape)) return nullptr;
  if (vocab != 0) parts.spec.vocab = vocab;
  if (layers != 0) parts.spec.layers = layers;
  parts.name = shape;
  std::size_t widest = 0;
  const auto storage = std::make_shared<Storage>();
  for (const model::Wanted& want : model::wanted_tensors(parts.spec)) {
    const DType type = want.rows > 1 ? type_of(want.name) : DType::f32;
    Tensor& t = parts.tensors.emplace_back(Tensor{want.name, type, want.rows, want.cols, {}});
    auto& bytes = storage->matrices[type];
    if (is_matrix(t)) bytes.resize(std::max<std::size_t>(bytes.size(), t.rows * t.row_bytes()));
    widest = std::max<std::size_t>(widest, t.cols);
  }
  for (auto& [type, bytes] : storage->matrices) {
    const std::vector<std::byte> pattern = testing::random_blocks(type, 1U << 18, 0.02F, 1);
    for (std::size_t at = 0; at < bytes.size(); at += pattern.size())
      std::copy_n(pattern.begin(), std::min(pattern.size(), bytes.size() - at),
                  bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  storage->ones.assign(widest, 1.0F);
  for (Tensor& t : parts.tensors)
    t.data = is_matrix(t) ? std::span<const std::byte>(storage->matrices[t.type]).first(t.rows * t.row_bytes())
                          : std::as_bytes(std::span<const float>(storage->ones)).first(t.row_bytes());
  parts.storage = storage;
  return std::make_shared<const Model>(std::move(parts));
}

std::uint64_t bytes_read(const Model& model) {
  double bytes = 0;
  for (const Tensor& t : model.tensors()) bytes += share(model, t) * static_cast<double>(t.rows * t.row_bytes());
  return static_cast<std::uint64_t>(bytes);
}

std::uint64_t device_bytes(const Model& model, bool kernels) {
  std::uint64_t bytes = 0;
  for (const Tensor& t : model.tensors()) bytes += t.rows * (kernels ? t.row_bytes() : 2 * t.cols);
  return bytes;
}

std::uint64_t kv_token_bytes(const Model& model) {
  const DecoderSpec& s = model.spec();
  return std::uint64_t{2} * 2 * s.layers * s.kv_width();
}

double operations_a_row(const Model& model) {
  double values = 0;
  for (const Tensor& t : model.tensors())
    if (is_matrix(t)) values += share(model, t) * static_cast<double>(t.rows) * static_cast<double>(t.cols);
  return 2.0 * values;
}

}  // namespace frugal::bench

// What the backend's tests share: a backend with one model and an arena cut into pages of a chosen size, and forward
// passes over it.
#pragma once

#include "support/tiny_model.hpp"

#include <frugal/backend/backend.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace frugal::testing {

class Rig {
 public:
  Rig(std::unique_ptr<Backend> backend, std::shared_ptr<const Model> model, std::uint32_t page_tokens = 16,
      std::uint32_t sequences = 4, std::uint32_t tokens = 160)
      : backend_(std::move(backend)),
        vocab_(model->spec().vocab),
        page_tokens_(page_tokens),
        pages_((tokens + page_tokens - 1) / page_tokens) {
    const std::size_t bytes = page_tokens * backend_->kv_bytes_per_token(backend_->add_model(std::move(model)));
    granules_ = static_cast<std::uint32_t>((bytes + granule_bytes - 1) / granule_bytes);
    const PageGeometry geometry{page_tokens, granules_ * granule_bytes};
    backend_->bind_arena({std::size_t{granules_} * granule_bytes * pages_ * sequences, {&geometry, 1}});
  }

  Backend& backend() { return *backend_; }
  std::uint32_t vocab() const { return vocab_; }

  /// The block table of a sequence: its pages in an order that is not the arena's.
  std::vector<Granule> table(std::uint32_t sequence) const {
    std::vector<Granule> t(pages_);
    for (std::uint32_t i = 0; i < pages_; ++i)
      t[i] = static_cast<Granule>((sequence * pages_ + (pages_ - 1 - i)) * granules_);
    return t;
  }

  /// The first so many positions are of a prompt.
  std::uint32_t prompt = 0;

  /// Feeds `tokens` from `start` on in chunks; the logits of every row, [tokens, vocab].
  std::vector<float> logits(std::span<const Token> tokens, std::uint32_t start = 0, std::uint32_t sequence = 0,
                            std::size_t chunk = 1000) {
    const auto pages = table(sequence);
    std::vector<float> out(tokens.size() * vocab_);
    for (std::size_t i = 0; i < tokens.size(); i += chunk) {
      const std::size_t n = std::min(chunk, tokens.size() - i);
      Segment s{tokens.subspan(i, n),
                start + static_cast<std::uint32_t>(i),
                pages,
                {},
                std::span(out).subspan(i * vocab_, n * vocab_)};
      s.prompt = std::min(static_cast<std::uint32_t>(n), prompt - std::min(prompt, s.start));
      backend_->forward({ModelId(0), {&s, 1}, {}});
    }
    return out;
  }

 private:
  std::unique_ptr<Backend> backend_;
  std::uint32_t vocab_, page_tokens_, pages_, granules_ = 0;
};

inline std::vector<Token> some_tokens(std::size_t n, std::uint32_t vocab, std::uint64_t seed = 1) {
  std::vector<Token> t(n);
  for (auto& x : t) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    x = static_cast<Token>((seed >> 33) % vocab);
  }
  return t;
}

/// Three layers with q4_1, q4_0 and q8_0 weights; with `spec` a model of that family whose feed-forward is in fp16.
inline std::shared_ptr<const Model> mixed_model(const std::function<void(DecoderSpec&)>& spec = {}) {
  TinyModelOptions o;
  o.spec = spec;
  o.d_model = 64, o.d_ff = 160, o.heads = 4, o.kv_heads = 2, o.layers = 3;
  o.attention = DType::q4_1, o.feed_forward = spec ? DType::f16 : DType::q4_0, o.embedding = DType::q8_0;
  return tiny_model(o);
}

/// Three layers of plain floats of every width; with `spec` of that family.
inline std::shared_ptr<const Model> float_model(const std::function<void(DecoderSpec&)>& spec = {}) {
  TinyModelOptions o;
  o.spec = spec;
  o.d_model = 64, o.d_ff = 160, o.heads = 4, o.kv_heads = 2, o.layers = 3;
  o.attention = DType::f16, o.feed_forward = DType::bf16, o.embedding = DType::f32;
  return tiny_model(o);
}

}  // namespace frugal::testing

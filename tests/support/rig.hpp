// Rig: any backend with its models bound, and sequences whose pages lie scattered in the arena. For comparing backends
// and ways to run.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace frugal::testing {

using Rows = std::vector<std::vector<float>>;  // logits [row][vocab]

struct Rig {
  std::unique_ptr<Backend> backend;
  std::vector<std::shared_ptr<const Model>> models;
  std::vector<PageGeometry> geometry{};
  std::size_t granules = 0;
  Granule next = 0;

  Rig(std::unique_ptr<Backend> b, std::vector<std::shared_ptr<const Model>> m, std::uint32_t page_tokens = 16,
      std::size_t tokens = 1024)
      : backend(std::move(b)), models(std::move(m)) {
    for (const auto& model : models) {
      const ModelId id = backend->add_model(model);
      const std::size_t bytes = page_tokens * backend->kv_bytes_per_token(id);
      const std::size_t page = (bytes + granule_bytes - 1) / granule_bytes;
      geometry.push_back({.page_tokens = page_tokens, .page_bytes = page * granule_bytes});
      granules += (tokens / page_tokens + 8) * page;
    }
    backend->bind_arena({.bytes = granules * granule_bytes, .models = geometry});
  }

  /// Fresh pages for so many tokens, in reverse order so that a table is never simply ascending.
  std::vector<Granule> pages(std::size_t tokens, std::size_t model = 0) {
    const PageGeometry& g = geometry[model];
    std::vector<Granule> out;
    for (std::size_t t = 0; t < tokens; t += g.page_tokens) {
      out.push_back(next);
      next += static_cast<Granule>(g.page_bytes / granule_bytes);
    }
    std::reverse(out.begin(), out.end());
    return out;
  }

  /// Logits of all rows of `tokens` at `start` on the given pages.
  Rows run(std::span<const Token> tokens, std::uint32_t start, std::span<const Granule> table, std::size_t model = 0) {
    const std::uint32_t vocab = models[model]->spec().vocab;
    std::vector<float> logits(tokens.size() * vocab);
    const Segment s{.tokens = tokens, .start = start, .pages = table, .logits = logits};
    backend->forward({.model = ModelId{static_cast<std::uint32_t>(model)}, .segments = {&s, 1}, .drawn = {}});
    return split(logits, vocab);
  }

  /// A whole prompt on pages of its own.
  Rows run(std::span<const Token> tokens, std::size_t model = 0) {
    return run(tokens, 0, pages(tokens.size(), model), model);
  }

  static Rows split(std::span<const float> logits, std::uint32_t vocab) {
    Rows rows;
    for (std::size_t at = 0; at < logits.size(); at += vocab) {
      rows.emplace_back(logits.begin() + static_cast<std::ptrdiff_t>(at),
                        logits.begin() + static_cast<std::ptrdiff_t>(at + vocab));
    }
    return rows;
  }
};

/// The largest difference of two logits; infinity where shapes differ or anything is not finite.
inline float distance(const Rows& a, const Rows& b) {
  float most = a.size() == b.size() ? 0.0F : INFINITY;
  for (std::size_t r = 0; r < std::min(a.size(), b.size()); ++r) {
    if (a[r].size() != b[r].size()) return INFINITY;
    for (std::size_t i = 0; i < a[r].size(); ++i) {
      const float d = std::abs(a[r][i] - b[r][i]);
      most = std::isfinite(d) ? std::max(most, d) : INFINITY;
    }
  }
  return most;
}

/// The largest logit in absolute value: what a tolerance is relative to.
inline float largest(const Rows& a) {
  float most = 0.0F;
  for (const auto& row : a) {
    for (const float x : row) most = std::max(most, std::abs(x));
  }
  return most;
}

inline Rows tail(const Rows& a, std::size_t n) { return {a.end() - static_cast<std::ptrdiff_t>(n), a.end()}; }

inline std::vector<Token> some_tokens(std::size_t n, std::uint32_t seed = 1) {
  std::vector<Token> out;
  for (std::uint32_t i = 0; i < n; ++i)
    out.push_back(static_cast<Token>((seed * 7919U + i * i * 31U + i * 17U) % 250U));
  return out;
}

}  // namespace frugal::testing

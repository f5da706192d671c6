#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <vector>

#include "support/any_backend.hpp"
#include "support/switches.hpp"

namespace frugal::testing {
namespace {

const MakeBackend make = [] { return reference_backend(); };

TEST_CASE("the reference gives the same bits for any chunks and page size, under every switch") {
  for (const auto& [name, options] : switches()) {
    INFO(name);
    prefill_may_be_chunked(make, {tiny_model(options)}, 0.0F);
  }
}

TEST_CASE("the reference gives the same bits in a batch, on shared pages and beside another model") {
  TinyModelOptions other;
  other.layers = 3, other.d_model = 96, other.heads = 6, other.kv_heads = 2, other.seed = 5;
  const auto model = tiny_model();
  a_batch_equals_its_rows_alone(make, {model}, 0.0F);
  pages_may_be_shared_and_copied(make, {model}, 0.0F);
  a_page_copy_ends_at_its_tokens(make, {model});
  two_models_share_one_arena(make, {model, tiny_model(other)}, 0.0F);
  draws_are_of_the_last_rows(make, {model}, 0.0F);
}

TEST_CASE("every switch of the decoder's description changes the answer") {
  const auto tokens = some_tokens(30);
  std::vector<Rows> seen;
  for (const auto& [name, options] : switches()) {
    INFO(name);
    Rig rig(make(), {tiny_model(options)});
    seen.push_back(rig.run(tokens));
    REQUIRE(std::isfinite(largest(seen.back())));
    for (std::size_t i = 0; i + 1 < seen.size(); ++i) CHECK(distance(seen[i], seen.back()) > 1e-3F);
  }
}

/// A decoder small enough to follow by hand: one layer whose attention and feed-forward outputs are zero.
TEST_CASE("with silent layers the logits are the normalised embedding times the head") {
  TinyModelOptions o;
  o.layers = 1;
  ModelParts parts = tiny_parts(o);
  static const std::vector<float> zeros(static_cast<std::size_t>(o.d_model) * o.d_ff, 0.0F);
  for (Tensor& t : parts.tensors) {
    if (t.name == "blk.0.attn_output.weight" || t.name == "blk.0.ffn_down.weight") {
      t.data = std::as_bytes(std::span(zeros)).first(t.data.size());
    }
  }
  const auto model = std::make_shared<const Model>(std::move(parts));
  const std::size_t d = o.d_model;
  std::vector<float> embedding(o.vocab * d), norm(d);
  dequantize_rows(model->embedding(), 0, o.vocab, embedding);
  dequantize_rows(model->output_norm(), 0, 1, norm);
  Rig rig(make(), {model});
  const std::vector<Token> tokens{17};
  const Rows got = rig.run(tokens);
  const float* x = &embedding[17 * d];
  double squares = 0.0;
  for (std::size_t i = 0; i < d; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(d) + static_cast<double>(model->spec().rms_eps));
  for (std::size_t t = 0; t < o.vocab; t += 37) {
    double expected = 0.0;
    for (std::size_t i = 0; i < d; ++i) {
      expected +=
          static_cast<double>(x[i]) * scale * static_cast<double>(norm[i]) * static_cast<double>(embedding[t * d + i]);
    }
    CHECK(static_cast<double>(got[0][t]) == Catch::Approx(expected).margin(1e-4));
  }
}

TEST_CASE("the reference refuses an unknown model") {
  CHECK_THROWS_AS(reference_backend()->kv_bytes_per_token(ModelId{0}), Error);
}

#ifndef __SANITIZE_ADDRESS__  // there operator new ends the process instead of throwing
TEST_CASE("the reference refuses an arena too large to allocate") {
  const auto backend = reference_backend();
  backend->add_model(tiny_model());
  const std::vector<PageGeometry> g{{.page_tokens = 16, .page_bytes = 16 * backend->kv_bytes_per_token(ModelId{0})}};
  try {
    backend->bind_arena({.bytes = std::size_t{1} << 60, .models = g});
    FAIL("2^60 bytes were found");
  } catch (const Error& e) {
    CHECK(e.code() == Errc::out_of_memory);
  }
}
#endif

}  // namespace
}  // namespace frugal::testing

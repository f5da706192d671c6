// TorchBackend on the CPU against the reference. Tolerance: 2e-4 of the largest logit (fp32, other order of sums).
#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>
#include <frugal/torch/backend.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <string>

#include "support/any_backend.hpp"
#include "support/switches.hpp"

namespace frugal::testing {
namespace {

constexpr float relative = 2e-4F;

const MakeBackend make = [] { return torch_backend({.threads = 1}); };

void equals_reference(const TinyModelOptions& options) {
  const auto model = tiny_model(options);
  const auto tokens = some_tokens(45);
  Rig torch(make(), {model}, 8), reference(reference_backend(), {model}, 16);
  const Rows expected = reference.run(tokens);
  CHECK(largest(expected) > 0.5F);
  CHECK(distance(torch.run(tokens), expected) <= relative * std::max(1.0F, largest(expected)));
}

Errc refusal(const TorchOptions& options) {
  try {
    torch_backend(options);
  } catch (const Error& e) {
    return e.code();
  }
  return Errc::internal;
}

TEST_CASE("torch equals the reference under every switch of the decoder's description") {
  for (const auto& [name, options] : switches()) {
    INFO(name);
    equals_reference(options);
  }
}

TEST_CASE("torch equals the reference on every storage format") {
  for (const auto& [name, options] : formats()) {
    INFO(name);
    equals_reference(options);
  }
}

TEST_CASE("torch stays within its declared tolerance for any chunks and page size, under every switch") {
  const float tolerance = make()->traits().logit_tolerance;
  for (const auto& [name, options] : switches()) {
    INFO(name);
    prefill_may_be_chunked(make, {tiny_model(options)}, tolerance);
  }
}

TEST_CASE("torch stays within its declared tolerance in a batch, on shared pages and beside another model") {
  const float tolerance = make()->traits().logit_tolerance;
  TinyModelOptions other;
  other.layers = 3, other.d_model = 96, other.heads = 6, other.kv_heads = 2, other.seed = 5;
  const auto model = tiny_model();
  a_batch_equals_its_rows_alone(make, {model}, tolerance);
  pages_may_be_shared_and_copied(make, {model}, tolerance);
  a_page_copy_ends_at_its_tokens(make, {model});
  two_models_share_one_arena(make, {model, tiny_model(other)}, tolerance);
  draws_are_of_the_last_rows(make, {model}, tolerance);
}

TEST_CASE("a prefill that asks for more rows of logits than one head pass takes gets them all") {
  const auto model = tiny_model();
  const auto tokens = some_tokens(300);
  Rig torch(make(), {model}), reference(reference_backend(), {model});
  CHECK(distance(torch.run(tokens), reference.run(tokens)) <= relative * 8.0F);
}

TEST_CASE("half precision stays near the reference") {
  TinyModelOptions o;
  o.logit_scale = 4.0F;
  const auto model = tiny_model(o);
  const auto tokens = some_tokens(20);
  Rig reference(reference_backend(), {model});
  const Rows expected = reference.run(tokens);
  for (const std::string compute : {"bf16", "fp16"}) {
    INFO(compute);
    Rig torch(torch_backend({.compute = compute}), {model});
    CHECK(distance(torch.run(tokens), expected) <= 0.05F * largest(expected));
    CHECK(torch.backend->kv_bytes_per_token(ModelId{0}) * 2 == reference.backend->kv_bytes_per_token(ModelId{0}));
  }
}

TEST_CASE("torch refuses unknown options and absent devices by name") {
  CHECK(refusal({.device = "tpu"}) == Errc::invalid_argument);
  CHECK(refusal({.device = "cuda:x"}) == Errc::invalid_argument);
  CHECK(refusal({.device = "cuda:"}) == Errc::invalid_argument);
  CHECK(refusal({.compute = "fp7"}) == Errc::invalid_argument);
  CHECK(refusal({.threads = -1}) == Errc::invalid_argument);
  CHECK(refusal({.device = "cuda:99"}) == Errc::unavailable);
}

TEST_CASE("torch renames its own allocator's failure and stays usable") {
  const auto backend = make();
  backend->add_model(tiny_model());
  const std::vector<PageGeometry> g{{.page_tokens = 16, .page_bytes = 16 * backend->kv_bytes_per_token(ModelId{0})}};
  try {
    backend->bind_arena({.bytes = std::size_t{1} << 60, .models = g});
    FAIL("2^60 bytes were found");
  } catch (const Error& e) {
    CHECK(e.code() == Errc::out_of_memory);
    CHECK(e.message().find('\n') == std::string::npos);
  }
  CHECK_NOTHROW(backend->bind_arena({.bytes = 1U << 20, .models = g}));
}

}  // namespace
}  // namespace frugal::testing

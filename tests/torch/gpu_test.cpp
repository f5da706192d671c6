// TorchBackend on CUDA against the same code on the CPU: logits, pages, two models in one arena on the device, and
// whole answers through the engine. Skips with one line where there is no device; bench/gpu.sh carries it to a machine
// that has one.
#include <frugal/core/error.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/torch/backend.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <filesystem>
#include <string>

#include "support/any_backend.hpp"
#include "support/switches.hpp"

namespace frugal::testing {
namespace {

/// fp32 on both sides: another order of sums, and no TF32.
constexpr float relative = 5e-4F;

std::unique_ptr<Backend> on_cuda(const std::string& compute = "fp32") {
  try {
    return torch_backend({.device = "cuda", .compute = compute});
  } catch (const Error& e) {
    if (e.code() == Errc::unavailable) SKIP(e.message());
    throw;
  }
}

std::unique_ptr<Backend> on_cpu() { return torch_backend({.threads = 1}); }

const MakeBackend make = [] { return on_cuda(); };

std::shared_ptr<const Model> other_shape() {
  TinyModelOptions o;
  o.layers = 3, o.d_model = 96, o.heads = 6, o.kv_heads = 2, o.seed = 5;
  return tiny_model(o);
}

void equals_cpu(const TinyModelOptions& options) {
  const auto model = tiny_model(options);
  const auto tokens = some_tokens(45);
  Rig cuda(on_cuda(), {model}, 8), cpu(on_cpu(), {model}, 16);
  const Rows expected = cpu.run(tokens);
  CHECK(distance(cuda.run(tokens), expected) <= relative * std::max(1.0F, largest(expected)));
}

std::vector<std::vector<Token>> answers(std::shared_ptr<Backend> backend, bool levers) {
  TinyModelOptions peaked;
  peaked.logit_scale = 8.0F;
  EngineOptions options;
  options.backend = std::move(backend);
  options.models = {{"a", tiny_model(peaked)}, {"b", other_shape()}};
  options.kv_bytes = std::size_t{8} << 20;
  options.prefill_chunk = 32;
  if (levers) options.prefix_cache = greedy_dual_size();
  Engine engine(std::move(options));
  std::vector<Stream> streams;
  for (std::uint32_t i = 0; i < 8; ++i) {
    Request request{TokenPrompt{some_tokens(100)}};
    std::get<TokenPrompt>(request.prompt).tokens.push_back(static_cast<Token>(i));
    request.model = i % 4 == 3 ? "b" : "a";
    request.max_tokens = 16;
    streams.push_back(engine.submit(std::move(request)));
  }
  std::vector<std::vector<Token>> out;
  for (Stream& s : streams) {
    const Answer answer = s.wait();
    CHECK(!answer.finish.error);
    out.push_back(answer.tokens);
  }
  engine.check_integrity();
  return out;
}

TEST_CASE("CUDA gives the CPU's logits under every switch of the decoder's description") {
  for (const auto& [name, options] : switches()) {
    INFO(name);
    equals_cpu(options);
  }
}

TEST_CASE("CUDA gives the CPU's logits on every storage format") {
  for (const auto& [name, options] : formats()) {
    INFO(name);
    equals_cpu(options);
  }
}

TEST_CASE(
    "CUDA stays within its declared tolerance for any chunks, in a batch, on shared pages, beside another model") {
  const float tolerance = on_cuda()->traits().logit_tolerance;
  const auto model = tiny_model();
  prefill_may_be_chunked(make, {model}, tolerance);
  a_batch_equals_its_rows_alone(make, {model}, tolerance);
  pages_may_be_shared_and_copied(make, {model}, tolerance);
  a_page_copy_ends_at_its_tokens(make, {model});
  two_models_share_one_arena(make, {model, other_shape()}, tolerance);
  draws_are_of_the_last_rows(make, {model}, tolerance);
}

TEST_CASE("half precision on CUDA stays near the CPU's fp32") {
  TinyModelOptions o;
  o.logit_scale = 4.0F;
  const auto model = tiny_model(o);
  const auto tokens = some_tokens(20);
  Rig cpu(on_cpu(), {model});
  const Rows expected = cpu.run(tokens);
  for (const std::string compute : {"bf16", "fp16"}) {
    INFO(compute);
    Rig cuda(on_cuda(compute), {model});
    CHECK(distance(cuda.run(tokens), expected) <= 0.05F * largest(expected));
  }
}

TEST_CASE("an engine on CUDA answers as one on the CPU, with and without the prefix cache, two models in one arena") {
  const auto plain = answers(on_cuda(), false);
  CHECK(answers(on_cuda(), true) == plain);
  CHECK(answers(on_cpu(), false) == plain);
}

TEST_CASE("an arena larger than the device is out of memory, and the backend stays usable") {
  const auto backend = on_cuda();
  backend->add_model(tiny_model());
  const std::vector<PageGeometry> g{{.page_tokens = 16, .page_bytes = 16 * backend->kv_bytes_per_token(ModelId{0})}};
  try {
    backend->bind_arena({.bytes = std::size_t{1} << 50, .models = g});
    FAIL("2^50 bytes were found");
  } catch (const Error& e) {
    CHECK(e.code() == Errc::out_of_memory);
  }
  CHECK_NOTHROW(backend->bind_arena({.bytes = 1U << 20, .models = g}));
}

}  // namespace
}  // namespace frugal::testing

// TorchBackend on CUDA: logits against the reference, pages, two models in one arena on the device, rounds of drafts, and
// whole answers through the engine against the same code on the CPU. Skips with one line where there is no device; bench/gpu.sh carries it to a machine
// that has one.
#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>
#include <frugal/torch/backend.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/any_backend.hpp"
#include "support/switches.hpp"
#include "torch/engine_cases.hpp"

namespace frugal::testing {
namespace {

/// fp32 on both sides: another order of sums, and no TF32.
constexpr float relative = 5e-4F;

std::unique_ptr<Backend> on_cuda(const std::string& compute = "fp32", bool graphs = false,
                                 const std::string& attention = "gather") {
  try {
    return torch_backend({.device = "cuda", .compute = compute, .graphs = graphs, .attention = attention});
  } catch (const Error& e) {
    if (e.code() == Errc::unavailable) SKIP(e.message());
    throw;
  }
}

std::unique_ptr<Backend> on_cpu() { return torch_backend({.threads = 1}); }

const MakeBackend make = [] { return on_cuda(); };

/// So many tokens: experts of up to 256 rows are chosen on the device, of more on the host.
void equals_reference(const TinyModelOptions& options, std::size_t length) {
  const auto model = tiny_model(options);
  const auto tokens = some_tokens(length);
  Rig cuda(on_cuda(), {model}, 8), reference(reference_backend(), {model}, 16);
  const Rows expected = reference.run(tokens);
  CHECK(distance(cuda.run(tokens), expected) <= relative * std::max(1.0F, largest(expected)));
}

TEST_CASE("CUDA gives the reference's logits under every switch of the decoder's description") {
  for (const auto& [name, options] : switches()) {
    INFO(name);
    equals_reference(options, 45);
  }
}

TEST_CASE("CUDA gives the reference's logits of mixtures, few rows and many") {
  for (const std::size_t length : {3U, 300U}) {
    equals_reference({.spec = like_mixtral, .logit_scale = 4.0F}, length);
    equals_reference({.spec = like_qwen2moe, .logit_scale = 4.0F}, length);
  }
}

TEST_CASE("CUDA gives the reference's logits on every storage format") {
  for (const auto& [name, options] : formats()) {
    INFO(name);
    equals_reference(options, 45);
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

TEST_CASE("an engine on CUDA answers as one on the CPU, whatever the levers, two models in one arena") {
  on_cuda();
  levers_do_not_change_answers(make, [] { return on_cpu(); });
}

TEST_CASE("cancelled requests leave the others alone on CUDA") {
  on_cuda();
  cancelled_requests_leave_the_others_alone(make);
}

TEST_CASE("half precision on CUDA, where attention is one fused call, keeps what every backend must keep") {
  for (const std::string compute : {"bf16", "fp16"}) {
    INFO(compute);
    const MakeBackend half = [&] { return on_cuda(compute); };
    const float tolerance = half()->traits().logit_tolerance;
    TinyModelOptions wide;  // a head that FlashAttention takes
    wide.d_model = 256, wide.heads = 4, wide.kv_heads = 2, wide.d_ff = 256;
    for (const std::uint32_t window : {0U, 20U}) {
      wide.sliding_window = window;
      const auto model = tiny_model(wide);
      prefill_may_be_chunked(half, {model}, tolerance);
      a_batch_equals_its_rows_alone(half, {model}, tolerance);
      pages_may_be_shared_and_copied(half, {model}, tolerance);
    }
  }
}

TEST_CASE(
    "attention on CUDA that reads pages in place stays near the CPU's fp32, split over keys, windows and all sizes of "
    "heads") {
  for (const char* compute : {"bf16", "fp16"}) {
    for (const std::uint32_t head_dim : {64U, 128U, 256U}) {
      for (const std::uint32_t window : {0U, 150U}) {
        INFO(compute << ", heads of " << head_dim << ", window " << window);
        const auto model = tiny_model({.head_dim = head_dim, .sliding_window = window});
        const auto tokens = some_tokens(460);
        const auto rows = [&](std::unique_ptr<Backend> backend) {
          Rig rig(std::move(backend), {model}, 16);
          const auto pages = rig.pages(480);
          Rows out = rig.run(std::span(tokens).first(450), 0, pages);
          for (auto& row : rig.run(std::span(tokens).subspan(450, 1), 450, pages)) out.push_back(std::move(row));
          for (auto& row : rig.run(std::span(tokens).subspan(451, 5), 451, pages)) out.push_back(std::move(row));
          return out;
        };
        std::unique_ptr<Backend> paged =
            on_cuda(compute, false, "flashinfer");  // skips, which CHECK would take for a throw
        const Rows expected = rows(on_cpu());
        CHECK(distance(rows(std::move(paged)), expected) <= 0.05F * std::max(1.0F, largest(expected)));
      }
    }
  }
}

TEST_CASE("attention on CUDA that reads pages in place keeps what every backend must keep") {
  const MakeBackend paged = [] { return on_cuda("bf16", false, "flashinfer"); };
  const float tolerance = paged()->traits().logit_tolerance;
  const auto model = tiny_model({.head_dim = 64});
  prefill_may_be_chunked(paged, {model}, tolerance);
  a_batch_equals_its_rows_alone(paged, {model}, tolerance);
  a_batch_equals_its_rows_alone(paged, {tiny_model({.head_dim = 64, .sliding_window = 5})}, tolerance);
  pages_may_be_shared_and_copied(paged, {model}, tolerance);
  CHECK_THROWS_AS(paged()->add_model(tiny_model({.head_dim = 24})), Error);
}

TEST_CASE("passes on CUDA report the device's time") {
  Rig cuda(on_cuda("bf16"), {tiny_model()});
  const auto tokens = some_tokens(20);
  const auto pages = cuda.pages(20);
  const Segment s{.tokens = tokens, .pages = pages};
  const PassReport report = cuda.backend->wait(cuda.backend->submit({ModelId{0}, {&s, 1}, {}}));
  REQUIRE(report.device_time);
  CHECK(*report.device_time > Duration{});
}

/// The answers of sequences that decode side by side in bf16, and how many steps were replayed.
std::pair<std::vector<std::vector<Token>>, int> decoded(bool graphs) {
  TinyModelOptions wide;
  wide.d_model = 256, wide.heads = 4, wide.kv_heads = 2, wide.d_ff = 256, wide.logit_scale = 8.0F;
  Rig rig(on_cuda("bf16", graphs), {tiny_model(wide)});
  std::vector<std::vector<Granule>> pages;
  std::vector<std::vector<Token>> answers;
  for (std::uint32_t i = 0; i < 5; ++i) {
    pages.push_back(rig.pages(64));
    answers.push_back({static_cast<Token>(i + 3)});
    rig.run(some_tokens(20 + i, i), 0, pages.back());
  }
  const Sampling hot{.temperature = 0.8F, .top_p = 0.9F};
  int replays = 0;
  for (std::uint32_t step = 0; step < 30; ++step) {
    std::vector<Segment> segments;
    std::vector<DrawSpec> draws(5);
    for (std::uint32_t i = 0; i < 5; ++i) {
      draws[i] = {.sampling = &hot, .seed = i, .position = 20 + i + step};
      segments.push_back({.tokens = std::span(answers[i]).last(1), .start = 20 + i + step, .pages = pages[i]});
      segments.back().draws = {&draws[i], 1};
    }
    std::vector<TokenScore> drawn(5);
    const PassReport report =
        rig.backend->wait(rig.backend->submit({.model = ModelId{0}, .segments = segments, .drawn = drawn}));
    CHECK(report.gave_up.empty());
    replays += report.replayed ? 1 : 0;
    for (std::uint32_t i = 0; i < 5; ++i) answers[i].push_back(drawn[i].token);
  }
  return {answers, replays};
}

TEST_CASE("steps that are recorded as graphs on CUDA draw the tokens of those that are not") {
  const auto [tokens, replays] = decoded(true);
  CHECK(tokens == decoded(false).first);
  CHECK(replays > 20);
}

/// What a model drafts for three sequences: in one round, or pass after pass.
std::vector<Token> drafted(bool graphs, bool round, std::uint32_t steps) {
  TinyModelOptions wide;
  wide.d_model = 256, wide.heads = 4, wide.kv_heads = 2, wide.d_ff = 256, wide.logit_scale = 8.0F;
  Rig rig(on_cuda("bf16", graphs), {tiny_model(wide)});
  if (rig.backend->traits().draft_rounds == 0) SKIP("frugal was built without FRUGAL_CUDA");
  const Sampling hot{.temperature = 0.8F, .top_p = 0.9F};
  const auto tokens = some_tokens(32);
  std::vector<std::vector<Granule>> pages;
  std::vector<Token> all;
  for (std::uint32_t i = 0; i < 3; ++i) {
    pages.push_back(rig.pages(64));
    rig.run(std::span(tokens).first(20 + i), 0, pages.back());
  }
  for (int again = 0; again < 3; ++again) {  // as it is, recorded, replayed
    std::vector<DrawSpec> draws;
    std::vector<Segment> segments;
    for (std::uint32_t i = 0; i < 3; ++i) draws.push_back({.sampling = &hot, .seed = i, .position = 21 + i});
    for (std::uint32_t i = 0; i < 3; ++i)
      segments.push_back({.tokens = std::span(tokens).subspan(20 + i, 1), .start = 20 + i, .pages = pages[i]});
    for (std::uint32_t i = 0; i < 3; ++i) segments[i].draws = {&draws[i], 1};
    std::vector<TokenScore> drawn(3 * steps);
    if (round) {
      const PassReport report = rig.backend->wait(rig.backend->draft({{ModelId{0}, segments, drawn}, steps}));
      CHECK(report.gave_up.empty());
      CHECK(report.replayed == (graphs && again > 0));
    }
    std::vector<Token> fed(3);
    for (std::uint32_t k = 0; k < steps && !round; ++k) {
      const auto step = std::span(drawn).subspan(3 * std::size_t{k}, 3);
      rig.backend->wait(rig.backend->submit({ModelId{0}, segments, step}));
      for (std::size_t i = 0; i < 3; ++i) {
        fed[i] = step[i].token, ++draws[i].position;
        segments[i].tokens = {&fed[i], 1}, ++segments[i].start;
      }
    }
    for (const TokenScore& s : drawn) all.push_back(s.token);
  }
  return all;
}

TEST_CASE("a round of drafts on CUDA draws the tokens of as many passes, recorded or not") {
  const auto passes = drafted(false, false, 5);
  for (const bool graphs : {false, true}) CHECK(drafted(graphs, true, 5) == passes);
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

// TorchBackend on the pretend device: everything that a device with its own memory asks of it, and that mistakes are
// caught there.
#include <frugal/backend/reference.hpp>
#include <frugal/backend/sampling.hpp>
#include <frugal/core/error.hpp>
#include <frugal/torch/backend.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <csignal>
#include <optional>
#include <string>

#include "support/any_backend.hpp"
#include "support/inner_states.hpp"
#include "support/switches.hpp"
#include "torch/engine_cases.hpp"
#include "torch/pretend_rig.hpp"
#include "torch/signal_of.hpp"

namespace frugal::testing {
namespace {

constexpr float relative = 2e-4F;

void equals_reference(const TinyModelOptions& options, bool kernels) {
  const auto model = tiny_model(options);
  const auto tokens = some_tokens(45);
  Rig device(on_pretend(kernels)(), {model}, 8), reference(reference_backend(), {model}, 16);
  const Rows expected = reference.run(tokens);
  CHECK(distance(device.run(tokens), expected) <= relative * std::max(1.0F, largest(expected)));
}

TEST_CASE("a device with its own memory gives the reference's logits under every switch, with and without kernels") {
  for (const bool kernels : {false, true}) {
    for (const auto& [name, options] : switches()) {
      INFO(name << (kernels ? ", kernels" : ""));
      equals_reference(options, kernels);
    }
  }
}

TEST_CASE("a device with its own memory gives the reference's logits on every storage format") {
  for (const bool kernels : {false, true}) {
    for (const auto& [name, options] : formats()) {
      INFO(name << (kernels ? ", kernels" : ""));
      equals_reference(options, kernels);
    }
  }
}

TEST_CASE("a device with its own memory keeps what every backend must keep") {
  for (const bool kernels : {false, true}) {
    const MakeBackend make = on_pretend(kernels);
    const float tolerance = make()->traits().logit_tolerance;
    TinyModelOptions other;
    other.layers = 3, other.d_model = 96, other.heads = 6, other.kv_heads = 2, other.seed = 5;
    const auto model = tiny_model();
    prefill_may_be_chunked(make, {model}, tolerance);
    prefill_may_be_chunked(make, {tiny_model({.sliding_window = 20})}, tolerance);
    a_batch_equals_its_rows_alone(make, {model}, tolerance);
    a_batch_equals_its_rows_alone(make, {tiny_model({.sliding_window = 5})}, tolerance);
    pages_may_be_shared_and_copied(make, {model}, tolerance);
    a_page_copy_ends_at_its_tokens(make, {model});
    two_models_share_one_arena(make, {model, tiny_model(other)}, tolerance);
    draws_are_of_the_last_rows(make, {model}, tolerance);
    hidden_states_do_not_depend_on_the_pass(make, tolerance);
    segments_ask_for_what_they_want(make, tolerance);
    pages_may_leave_and_come_back(make, {model});
    wrong_page_traffic_is_refused(make);
    CHECK(make()->healthy());
  }
}

std::vector<std::pair<std::string, std::shared_ptr<const Model>>> dense_and_mixtures() {
  return {{"dense", tiny_model()},
          {"as in Mixtral", tiny_model({.spec = like_mixtral})},
          {"as in Qwen2 MoE", tiny_model({.spec = like_qwen2moe})}};
}

TEST_CASE("a steady step with draws on the device is one copy up, one down and one wait, and takes no memory") {
  for (const auto& [name, model] : dense_and_mixtures()) {
    INFO(name);
    Decoding decoding(on_pretend(true)(), 5, model);
    const Sampling hot{.temperature = 0.8F, .top_p = 0.9F};
    const DrawSpec draw{.sampling = &hot, .seed = 3, .position = 20, .scores = true};
    decoding.step(draw);
    pretend().reset_counts();
    decoding.step(draw);
    CHECK(pretend().counts().operations > 10);
    check_steady(pretend().counts());
    REQUIRE(decoding.report.device_time);
    CHECK(*decoding.report.device_time > Duration{});
  }
}

TEST_CASE("the first step after an arena was bound takes no memory either") {
  const auto model = tiny_model();
  Rig rig(on_pretend(true)(), {model});
  const auto tokens = some_tokens(40);
  const auto pages = rig.pages(64);
  const Sampling hot{.temperature = 0.8F, .top_p = 0.9F};
  const DrawSpec draw{.sampling = &hot, .scores = true, .keep_distribution = true};
  const Segment s{.tokens = tokens, .pages = pages, .draws = {&draw, 1}};
  std::vector<TokenScore> drawn(1);
  pretend().reset_counts();
  rig.backend->wait(rig.backend->submit({.model = ModelId{0}, .segments = {&s, 1}, .drawn = drawn}));
  CHECK(drawn[0].token >= 0);
  check_steady(pretend().counts());
}

TEST_CASE("a mixture with more rows than are routed on the device has them chosen on the host, with equal results") {
  for (const auto& [name, model] : dense_and_mixtures()) {
    INFO(name);
    const auto tokens = some_tokens(300);
    Rig device(on_pretend(true)(), {model}, 8), reference(reference_backend(), {model}, 16);
    const Rows expected = reference.run(tokens);
    CHECK(distance(device.run(tokens), expected) <= relative * std::max(1.0F, largest(expected)));
  }
}

TEST_CASE("the attention of a step takes as many operations for eight sequences as for one") {
  const Sampling greedy;
  const DrawSpec draw{.sampling = &greedy};
  const auto operations = [&](std::size_t sequences) {
    Decoding decoding(on_pretend(true)(), sequences);
    pretend().reset_counts();
    decoding.step(draw);
    return pretend().counts().operations;
  };
  CHECK(operations(8) == operations(1));
}

TEST_CASE("draws on the device are the host's, token and scores, with masks, penalties and padding") {
  Decoding device(on_pretend(true)(), 4), host(on_pretend(false)(), 4);
  const std::uint32_t vocab = device.rig.models[0]->spec().vocab;
  std::vector<std::uint32_t> mask((vocab + 31) / 32, 0xF0F0FFFFU);
  const std::vector<Token> history{1, 5, 5, 9, 200};
  const Sampling plain{.temperature = 1.0F};
  const Sampling greedy{.temperature = 0.0F, .logit_bias = {{7, 2.0F}, {9, -1.0F}}};
  const Sampling all{.temperature = 0.7F,
                     .top_k = 40,
                     .top_p = 0.8F,
                     .min_p = 0.01F,
                     .repetition_penalty = 1.2F,
                     .presence_penalty = 0.3F,
                     .frequency_penalty = 0.2F};
  for (const Sampling* sampling : {&plain, &greedy, &all}) {
    for (const bool masked : {false, true}) {
      for (const std::uint32_t tokens : {0U, 260U}) {
        DrawSpec draw{.sampling = sampling, .prompt = history, .output = history, .seed = 11, .position = 30};
        draw.tokens = tokens, draw.scores = true;
        if (masked) draw.mask = mask;
        device.step(draw), host.step(draw);
        for (std::size_t i = 0; i < 4; ++i) {
          INFO("sequence " << i << (masked ? ", masked" : "") << ", tokens " << tokens);
          CHECK(device.drawn[i].token == host.drawn[i].token);
          CHECK(std::abs(device.drawn[i].logprob - host.drawn[i].logprob) < 1e-3F);
          CHECK(std::abs(device.drawn[i].margin - host.drawn[i].margin) < 1e-3F);
          if (masked)
            CHECK((mask[static_cast<std::size_t>(device.drawn[i].token) / 32] >> device.drawn[i].token % 32 & 1U) ==
                  1U);
        }
      }
    }
  }
}

TEST_CASE("a pass for which the device has no memory runs in halves, and single rows that do not fit are told") {
  const auto model = tiny_model({.d_ff = 4096});
  const auto tokens = some_tokens(200);
  Rig whole(on_pretend(false)(), {model}), rig(on_pretend(false)(), {model});
  const Rows expected = whole.run(tokens);
  const auto pages = rig.pages(tokens.size());
  const std::size_t in_use = pretend().bytes_in_use();
  pretend().limit_memory(in_use + (std::size_t{3} << 20));  // gate and up of 200 rows are 6.5 MB
  const Rows got = rig.run(tokens, 0, pages);
  CHECK(distance(got, expected) <= rig.backend->traits().logit_tolerance);

  pretend().limit_memory(in_use);
  try {
    rig.run(tokens, 0, pages);
    FAIL("there was memory");
  } catch (const Error& e) {
    CHECK(e.code() == Errc::out_of_memory);
  }
  pretend().limit_memory(std::size_t{1} << 32);
  CHECK(rig.backend->healthy());
  CHECK(distance(rig.run(tokens, 0, pages), expected) <= rig.backend->traits().logit_tolerance);
}

TEST_CASE("the memory of a device bounds the arena, and an arena beyond it is out of memory") {
  pretend().limit_memory(pretend().bytes_in_use() + (std::size_t{64} << 20));
  const auto backend = on_pretend(true)();
  backend->add_model(tiny_model());
  const BackendTraits traits = backend->traits();
  REQUIRE(traits.free_bytes);
  REQUIRE(traits.workspace_bytes);
  CHECK(*traits.free_bytes + *traits.workspace_bytes <= std::size_t{64} << 20);
  CHECK(traits.wants_own_thread);
  CHECK(traits.device_draws);
  const std::vector<PageGeometry> g{{.page_tokens = 16, .page_bytes = 16 * backend->kv_bytes_per_token(ModelId{0})}};
  const auto code = [&](std::size_t bytes) -> std::optional<Errc> {
    try {
      backend->bind_arena({.bytes = bytes, .models = g});
      return std::nullopt;
    } catch (const Error& e) {
      return e.code();
    }
  };
  CHECK(code(std::size_t{65} << 20) == Errc::out_of_memory);
  CHECK(code(*traits.free_bytes / granule_bytes / 2 * granule_bytes) == std::nullopt);
  pretend().limit_memory(std::size_t{1} << 32);
}

TEST_CASE("an engine on a device with its own memory answers as one on the CPU, whatever the levers") {
  levers_do_not_change_answers(on_pretend(true), [] { return torch_backend({.threads = 1}); });
}

TEST_CASE("cancelled requests leave the others alone on a device with its own memory") {
  cancelled_requests_leave_the_others_alone(on_pretend(true));
}

TEST_CASE("half precision on a device with its own memory stays near the reference") {
  TinyModelOptions o;
  o.logit_scale = 4.0F;
  o.attention = o.feed_forward = DType::q8_0;
  const auto model = tiny_model(o);
  const auto tokens = some_tokens(20);
  Rig reference(reference_backend(), {model});
  const Rows expected = reference.run(tokens);
  for (const auto compute : {c10::ScalarType::BFloat16, c10::ScalarType::Half}) {
    for (const bool kernels : {false, true}) {
      Rig device(aten::make_backend({pretend().device(), compute, "pretend", kernels ? &pretend_kernels() : nullptr}),
                 {model});
      CHECK(distance(device.run(tokens), expected) <= 0.05F * largest(expected));
      const Rows one = device.run(std::span(tokens).first(3));
      CHECK(distance(one, Rows(expected.begin(), expected.begin() + 3)) <= 0.05F * largest(expected));
    }
  }
}

TEST_CASE("weights are on the device when a model was added, for backends that share them on other streams") {
  const auto model = tiny_model({.seed = 77});
  const auto first = on_pretend(true)(), second = on_pretend(true)();
  pretend().reset_counts();
  first->add_model(model);
  const PretendCounts loaded = pretend().counts();
  CHECK(loaded.waits > 0);
  CHECK(loaded.blocking_copies > 0);
  CHECK(loaded.on_default_stream == 0);
  second->add_model(model);
  CHECK(pretend().counts().blocking_copies == loaded.blocking_copies);
}

/// Keeps the largest pass.
class Watched final : public BackendWrapper {
 public:
  using BackendWrapper::BackendWrapper;
  void forward(const Batch& batch) override {
    for (const Segment& s : batch.segments) most_rows = std::max(most_rows, s.tokens.size());
    BackendWrapper::forward(batch);
  }
  std::size_t most_rows = 0;
};

TEST_CASE("an engine that is told nothing takes arena and chunks from the device") {
  pretend().limit_memory(pretend().bytes_in_use() + (std::size_t{96} << 20));
  const auto backend = std::make_shared<Watched>(on_pretend(true)());
  EngineOptions options;
  options.backend = backend;
  options.models = {{"a", tiny_model({.context = 4096})}};
  options.kv_bytes = 0, options.prefill_chunk = 0, options.step_tokens = 0;
  Engine engine(std::move(options));
  const std::size_t bytes = engine.stats().kv_bytes_total;
  CHECK(bytes <= *backend->traits().free_bytes);
  CHECK(bytes > *backend->traits().free_bytes / 10 * 8);
  Request request{TokenPrompt{some_tokens(2000)}};
  request.max_tokens = 1;
  CHECK(!engine.submit(std::move(request)).wait().finish.error);
  CHECK(backend->most_rows == *backend->traits().chunk);
  pretend().limit_memory(std::size_t{1} << 32);
}

TEST_CASE("a fault that stays makes the backend unhealthy, one that passes does not") {
  Rig rig(on_pretend(true)(), {tiny_model()});
  const auto tokens = some_tokens(5);
  const auto pages = rig.pages(5);
  const auto code = [&]() -> std::optional<Errc> {
    try {
      rig.run(tokens, 0, pages);
      return std::nullopt;
    } catch (const Error& e) {
      return e.code();
    }
  };
  pretend().fail(1);
  CHECK(code() == Errc::device);
  CHECK(rig.backend->healthy());
  CHECK(code() == std::nullopt);
  pretend().fail(1000);
  CHECK(code() == Errc::device);
  CHECK_FALSE(rig.backend->healthy());
  pretend().fail(0);
}

// Planted mistakes: each must make a contract fail.

TEST_CASE("a backend that does not wait for its draws is caught") {
  Decoding right(on_pretend(true)(), 3), wrong(on_pretend(true)(), 3);
  const Sampling greedy;
  const DrawSpec draw{.sampling = &greedy};
  right.step(draw);
  pretend().forget_waits(true);
  wrong.step(draw);
  pretend().forget_waits(false);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(right.drawn[i].token >= 0);
    CHECK(wrong.drawn[i].token == -1);
  }
}

TEST_CASE("a kernel that is run on the host by mistake is caught") {
  const Sampling greedy;
  const DrawSpec draw{.sampling = &greedy};
  const auto run = [&](const cuda::Kernels& kernels) {
    return signal_of([&] {
      Decoding decoding(aten::make_backend({pretend().device(), c10::ScalarType::Float, "pretend", &kernels}), 1);
      decoding.step(draw);
    });
  };
  CHECK(run(pretend_kernels()) == 0);
  CHECK(run(cuda::host_kernels()) == SIGSEGV);
}

}  // namespace
}  // namespace frugal::testing

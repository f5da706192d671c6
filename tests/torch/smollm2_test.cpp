// The real model against golden fp32 numbers: greedy answer, and the log-probabilities of its first step. Skips where
// the file is not fetched.
#include <frugal/backend/reference.hpp>
#include <frugal/backend/sampling.hpp>
#include <frugal/torch/backend.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <filesystem>
#include <utility>
#include <vector>

#include "support/rig.hpp"

namespace frugal::testing {
namespace {

const std::filesystem::path file = std::filesystem::path(FRUGAL_DEPS) / "models/SmolLM2-135M-Instruct.Q4_1.gguf";

/// The default system prompt and "What is the capital of France?".
const std::vector<Token> prompt{1,   9690, 198, 2683, 359,   253,  5356, 5646, 11173, 3365, 3511, 308,  34519,
                                28,  7018, 411, 407,  19712, 8182, 2,    198,  1,     4093, 198,  1780, 314,
                                260, 3575, 282, 4649, 47,    2,    198,  1,    520,   9531, 198};
/// "The capital of France is Paris." and the end.
const std::vector<Token> answer{504, 3575, 282, 4649, 314, 7042, 30, 2};
/// The five most likely first words: The, L, La, Al, Le.
const std::vector<double> golden{-1.883, -1.965, -2.266, -2.806, -2.893};

std::shared_ptr<const Model> smollm2() {
  if (!std::filesystem::exists(file)) SKIP("no " << file.filename() << " in .deps/models");
  return load_model(file);
}

std::vector<TokenScore> generate(Rig& rig, std::size_t steps) {
  const Sampling greedy;
  const DrawSpec draw{.sampling = &greedy, .top_logprobs = 5, .scores = true};
  const auto pages = rig.pages(prompt.size() + steps);
  std::vector<TokenScore> out(steps);
  std::vector<Token> next = prompt;
  std::uint32_t start = 0;
  for (TokenScore& score : out) {
    const Segment s{.tokens = next, .start = start, .pages = pages, .draws = {&draw, 1}};
    rig.backend->forward({.model = ModelId{0}, .segments = {&s, 1}, .drawn = {&score, 1}});
    start += static_cast<std::uint32_t>(next.size());
    next = {score.token};
  }
  return out;
}

void matches_golden(std::unique_ptr<Backend> backend, std::size_t steps) {
  Rig rig(std::move(backend), {smollm2()}, 16, 128);
  const auto out = generate(rig, steps);
  REQUIRE(out[0].top.size() == golden.size());
  for (std::size_t i = 0; i < golden.size(); ++i) {
    CHECK(std::abs(static_cast<double>(out[0].top[i].logprob) - golden[i]) < 0.15);
  }
  for (std::size_t i = 0; i < steps; ++i) CHECK(out[i].token == answer[i]);
  CHECK(out[0].top[0].token == 504);
}

TEST_CASE("torch gives SmolLM2's golden log-probabilities and answer") {
  matches_golden(torch_backend(), answer.size());
}

TEST_CASE("the reference gives SmolLM2's golden log-probabilities and answer") {
  matches_golden(reference_backend(), answer.size());
}

TEST_CASE("torch equals the reference on SmolLM2 within a hundredth, chunked and whole") {
  const auto model = smollm2();
  Rig torch(torch_backend(), {model}, 16, 256), reference(reference_backend(), {model}, 16, 256);
  const auto tokens = std::span(prompt).first(16);
  const Rows expected = reference.run(tokens), whole = torch.run(tokens);
  CHECK(distance(whole, expected) < 1e-2F);
  const auto pages = torch.pages(16);
  torch.run(tokens.first(9), 0, pages);
  const Rows chunked = torch.run(tokens.subspan(9), 9, pages);
  CHECK(distance(chunked, tail(whole, 7)) <= torch.backend->traits().logit_tolerance);
}

}  // namespace
}  // namespace frugal::testing

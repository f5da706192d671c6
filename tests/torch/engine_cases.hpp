// Whole answers through an engine, for any device of the LibTorch backend: levers do not change answers, and requests
// that are cancelled leave the others alone.
#pragma once

#include <frugal/core/error.hpp>
#include <frugal/draft/drafters.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/policy/speculation.hpp>

#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/any_backend.hpp"
#include "support/tiny_model.hpp"

namespace frugal::testing {

struct Levers {
  bool prefixes = false, drafts = false;
  std::uint32_t chunk = 32;
  float temperature = 0.0F;
};

inline std::shared_ptr<const Model> other_shape() {
  TinyModelOptions o;
  o.layers = 3, o.d_model = 96, o.heads = 6, o.kv_heads = 2, o.seed = 5;
  return tiny_model(o);
}

inline std::unique_ptr<Engine> engine_on(std::unique_ptr<Backend> backend, const Levers& levers) {
  TinyModelOptions peaked;
  peaked.logit_scale = 8.0F;
  EngineOptions options;
  options.backend = std::move(backend);
  options.models = {{"a", tiny_model(peaked)}, {"b", other_shape()}};
  options.kv_bytes = std::size_t{8} << 20;
  options.prefill_chunk = levers.chunk;
  if (levers.prefixes) options.prefix_cache = greedy_dual_size();
  if (levers.drafts) options.speculation = fixed_drafts(4), options.drafters = {prompt_lookup()};
  return std::make_unique<Engine>(std::move(options));
}

inline Request numbered_request(std::uint32_t i, float temperature) {
  Request request{TokenPrompt{some_tokens(100)}};
  std::get<TokenPrompt>(request.prompt).tokens.push_back(static_cast<Token>(i));
  request.model = i % 4 == 3 ? "b" : "a";
  request.max_tokens = 16;
  request.sampling.temperature = temperature;
  request.sampling.seed = i;
  return request;
}

inline std::vector<std::vector<Token>> answers(std::unique_ptr<Backend> backend, const Levers& levers) {
  const auto engine = engine_on(std::move(backend), levers);
  std::vector<Stream> streams;
  for (std::uint32_t i = 0; i < 8; ++i) streams.push_back(engine->submit(numbered_request(i, levers.temperature)));
  std::vector<std::vector<Token>> out;
  for (Stream& s : streams) {
    const Answer answer = s.wait();
    CHECK(!answer.finish.error);
    out.push_back(answer.tokens);
  }
  engine->check_integrity();
  return out;
}

/// Two models in one arena; greedy and drawn.
inline void levers_do_not_change_answers(const MakeBackend& make, const MakeBackend& oracle) {
  for (const float temperature : {0.0F, 0.8F}) {
    INFO("temperature " << temperature);
    const auto plain = answers(oracle(), {.temperature = temperature});
    for (const bool prefixes : {false, true}) {
      for (const bool drafts : {false, true}) {
        for (const std::uint32_t chunk : {7U, 32U}) {
          INFO((prefixes ? "prefixes, " : "") << (drafts ? "drafts, " : "") << "chunks of " << chunk);
          CHECK(answers(make(), {prefixes, drafts, chunk, temperature}) == plain);
        }
      }
    }
  }
}

inline void cancelled_requests_leave_the_others_alone(const MakeBackend& make) {
  const auto plain = answers(make(), {});
  const auto engine = engine_on(make(), {});
  std::vector<Stream> streams;
  for (std::uint32_t i = 0; i < 8; ++i) streams.push_back(engine->submit(numbered_request(i, 0.0F)));
  for (int i = 0; i < 5; ++i) engine->step();
  for (std::size_t i = 0; i < 8; i += 2) streams[i].cancel();
  for (std::size_t i = 0; i < 8; ++i) {
    const Answer answer = streams[i].wait();
    if (i % 2 == 0)
      CHECK(answer.finish.reason == FinishReason::cancelled);
    else
      CHECK(answer.tokens == plain[i]);
  }
  engine->check_integrity();
}

}  // namespace frugal::testing

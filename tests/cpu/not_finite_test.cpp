// Weights that are not finite. The CPU backend rounds activations to whole numbers before quantised matrices, where a
// NaN would come out as an ordinary number; so such weights are refused in every format, or reach the logits.
#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>
#include <frugal/engine/engine.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "support/rig.hpp"
#include "support/tiny_model.hpp"

namespace frugal::testing {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// A tiny model whose tensor has `bad` at the value with this index (or, in a block of bytes, as the block's scale).
std::shared_ptr<const Model> damaged(const TinyModelOptions& options, const std::string& name, float bad,
                                     std::size_t index = 5) {
  ModelParts parts = tiny_parts(options);
  for (Tensor& t : parts.tensors) {
    if (t.name != name) continue;
    const auto bytes = std::make_shared<std::vector<std::byte>>(t.data.begin(), t.data.end());
    if (t.type == DType::f32) std::memcpy(bytes->data() + index * sizeof bad, &bad, sizeof bad);
    const std::uint16_t half = std::isnan(bad) ? 0x7E00 : 0x7C00, brain = std::isnan(bad) ? 0x7FC0 : 0x7F80;
    if (t.type == DType::f16) std::memcpy(bytes->data() + index * sizeof half, &half, sizeof half);
    if (t.type == DType::bf16) std::memcpy(bytes->data() + index * sizeof brain, &brain, sizeof brain);
    if (t.type == DType::q8_0) std::memcpy(bytes->data() + index * block_shape(t.type).bytes, &half, sizeof half);
    t.data = *bytes;
    parts.storage =
        std::make_shared<std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>>(parts.storage, bytes);
  }
  return std::make_shared<const Model>(std::move(parts));
}

TEST_CASE("a weight that is not a finite number is refused at set-up, by the tensor's name") {
  for (const DType type : {DType::f32, DType::f16, DType::bf16, DType::q8_0}) {
    TinyModelOptions options{.layers = 2, .tied_head = false};
    options.attention = options.feed_forward = options.head = type;
    for (const char* part : {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up",
                             "ffn_down", "output", "output_norm"}) {
      for (const float bad : {nan, std::numeric_limits<float>::infinity()}) {
        const bool of_layer = std::strncmp(part, "output", 6) != 0;
        const std::string name = (of_layer ? "blk.1." : "") + std::string(part) + ".weight";
        CAPTURE(name);
        for (const FloatWeights floats : {FloatWeights::kept, FloatWeights::repacked}) {
          try {
            cpu_backend({.threads = 2, .float_weights = floats})->add_model(damaged(options, name, bad));
            FAIL("not refused");
          } catch (const Error& e) {
            CHECK(e.code() == Errc::bad_model);
            CHECK(e.message().find(name) != std::string::npos);
          }
        }
      }
    }
  }
}

TEST_CASE("a broken embedding reaches the logits of its token, and of no other") {
  const TinyModelOptions options{.tied_head = false};
  const std::size_t token = 7;
  const auto model = damaged(options, "token_embd.weight", nan, token * options.d_model + 3);
  for (const bool reference : {true, false}) {
    Rig rig(reference ? reference_backend() : cpu_backend({.threads = 2}), {model});
    const std::vector<Token> good{1, 2, 3}, bad{static_cast<Token>(token)};
    const auto all = [](const std::vector<float>& row, auto holds) {
      return std::all_of(row.begin(), row.end(), holds);
    };
    CHECK(all(rig.run(good).back(), [](float x) { return std::isfinite(x); }));
    CHECK(all(rig.run(bad).back(), [](float x) { return std::isnan(x); }));
    const Sampling greedy;
    const DrawSpec draw{.sampling = &greedy, .scores = true};
    const auto pages = rig.pages(1), others = rig.pages(3);
    const std::vector<Segment> segments{{.tokens = bad, .pages = pages, .draws = {&draw, 1}},
                                        {.tokens = good, .pages = others, .draws = {&draw, 1}}};
    std::vector<TokenScore> drawn(2);
    rig.backend->forward({.model = ModelId{0}, .segments = segments, .drawn = drawn});
    CHECK(drawn[0].token == -1);
    CHECK(drawn[1].token >= 0);
  }
}

TEST_CASE("a request on a model of NaN ends with an error that says so") {
  EngineOptions options;
  options.backend = reference_backend();
  options.models = {{"broken", damaged({}, "output_norm.weight", nan)}};
  options.kv_bytes = std::size_t{4} << 20;
  Engine engine(std::move(options));
  Request request{TokenPrompt{{1, 2, 3}}};
  request.max_tokens = 4;
  const Answer answer = engine.run(std::move(request));
  CHECK(answer.finish.reason == FinishReason::error);
  REQUIRE(answer.finish.error.has_value());
  CHECK(answer.finish.error->code() == Errc::bad_model);
  CHECK(answer.tokens.empty());
}

}  // namespace
}  // namespace frugal::testing

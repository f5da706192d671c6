// CpuBackend as a decoder: the reference backend's logits for every switch of the description, on weights of plain floats
// to the rounding of fp32 sums and on others within 8-bit rounding; and its set-up and errors.
#include "cpu/factory.hpp"
#include "cpu/support.hpp"
#include "support/switches.hpp"
#include "support/tiny_model.hpp"

#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

using namespace frugal;
using frugal::testing::Rig;
using frugal::testing::some_tokens;
using frugal::testing::TinyModelOptions;

namespace {

/// Root of the mean squared difference over the root of the mean square.
double relative_error(std::span<const float> got, std::span<const float> want) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double w = static_cast<double>(want[i]), d = static_cast<double>(got[i]) - w;
    difference += d * d, size += w * w;
  }
  return std::sqrt(difference / size);
}

double error_against_reference(const TinyModelOptions& options, const CpuOptions& cpu_options = {}) {
  const auto model = testing::tiny_model(options);
  const auto tokens = some_tokens(70, options.vocab);
  Rig reference(reference_backend(), model), cpu(cpu_backend(cpu_options), model);
  return relative_error(cpu.logits(tokens), reference.logits(tokens));
}

Errc code_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    return e.code();
  }
  return Errc::internal;
}

}  // namespace

TEST_CASE(
    "Every switch of the description gives the reference's logits: floats to fp32's rounding, repacked to 8 bits'") {
  TinyModelOptions o;
  o.d_model = 64, o.d_ff = 96;
  SECTION("adjacent rotation") {}
  SECTION("halves rotation") { o.rope_layout = RopeLayout::halves; }
  SECTION("frequency divisors") { o.rope_divisors = {1, 2, 3, 4, 5, 6, 7, 8}; }
  SECTION("biases") { o.qkv_bias = true; }
  SECTION("normed queries and keys") { o.qk_norm = true; }
  SECTION("a head of its own") { o.tied_head = false; }
  SECTION("a sliding window") { o.sliding_window = 9; }
  SECTION("one kv head") { o.kv_heads = 1; }
  SECTION("a kv head each") { o.kv_heads = 4; }
  SECTION("heads of 24") { o.head_dim = 24; }
  SECTION("heads of 8, all at once") {
    o.head_dim = 8, o.qk_norm = o.qkv_bias = true, o.rope_layout = RopeLayout::halves, o.sliding_window = 33;
  }
  SECTION("wide heads") { o.head_dim = 128; }
  SECTION("a width that is no whole number of blocks") { o.d_model = 48, o.d_ff = 80; }
  CHECK(error_against_reference(o, {.kv = KvType::fp32}) < 1e-5);
  CHECK(error_against_reference(o) < 2e-3);  // fp16 keys and values
  const double repacked = error_against_reference(o, {.float_weights = FloatWeights::repacked});
  CHECK(repacked > 2e-3);
  CHECK(repacked < 0.03);
}

TEST_CASE("Weights of plain floats, alone, mixed and beside quantised ones, give the reference's logits") {
  TinyModelOptions o;
  o.d_model = 64, o.d_ff = 96, o.logit_scale = 3.0F;
  const auto all = [&](DType type) { o.attention = o.feed_forward = o.head = o.embedding = type; };
  all(DType::f16);
  double limit = 1e-5;
  SECTION("F16") {}
  SECTION("BF16") { all(DType::bf16); }
  SECTION("F32") { all(DType::f32); }
  SECTION("one of each") { o.attention = DType::f32, o.feed_forward = DType::bf16; }
  SECTION("a head of its own") { o.tied_head = false, o.head = DType::bf16; }
  SECTION("Gemma's switches") { o.spec = testing::like_gemma2; }
  SECTION("experts") { o.spec = testing::like_mixtral; }
  SECTION("experts beside a shared one") { o.spec = testing::like_qwen2moe; }
  SECTION("beside quantised matrices in every phase, 16-bit inputs before these") {
    limit = 1e-4;
    o.dtype = [](std::string_view name, DType chosen) {
      for (const char* part : {"attn_k", "ffn_up", "token_embd"})
        if (name.find(part) != std::string_view::npos) return DType::q8_0;
      return chosen;
    };
  }
  SECTION("beside quantised matrices the other way round") {
    limit = 1e-4;
    o.dtype = [](std::string_view name, DType chosen) {
      for (const char* part : {"attn_q", "attn_output", "ffn_gate", "ffn_down"})
        if (name.find(part) != std::string_view::npos) return DType::q4_1;
      return chosen;
    };
  }
  CHECK(error_against_reference(o, {.threads = 2, .kv = KvType::fp32, .fine = true}) < limit);
}

TEST_CASE("Every quantised format gives the reference's logits within 8-bit rounding, and repacked floats do") {
  const DType type =
      GENERATE(DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0, DType::q2_k, DType::q3_k, DType::q4_k,
               DType::q5_k, DType::q6_k, DType::iq4_nl, DType::iq4_xs, DType::iq2_xxs, DType::iq2_xs, DType::iq2_s,
               DType::iq3_xxs, DType::iq3_s, DType::iq1_s, DType::iq1_m, DType::f16, DType::bf16);
  CAPTURE(std::string(to_string(type)));
  TinyModelOptions o;
  o.d_model = 256, o.d_ff = 512, o.layers = 1;
  o.attention = o.feed_forward = o.head = o.embedding = type;
  CHECK(error_against_reference(o, {.float_weights = FloatWeights::repacked}) < 0.03);
}

TEST_CASE("Layers may mix formats, as K files do") {
  TinyModelOptions o;
  o.d_model = 256, o.d_ff = 512;
  o.attention = DType::q4_k, o.feed_forward = DType::q4_1;
  o.dtype = [](std::string_view name, DType chosen) {
    if (name.find("attn_v") != std::string_view::npos) return DType::q6_k;
    return name.find("ffn_up") != std::string_view::npos ? DType::q5_0 : chosen;
  };
  CHECK(error_against_reference(o) < 0.03);
}

TEST_CASE("Keys and values in fp32, fp16 and int8 give the reference's logits") {
  TinyModelOptions o;
  o.d_model = 64, o.d_ff = 96;
  CpuOptions options;
  options.kv = GENERATE(KvType::fp32, KvType::fp16, KvType::int8);
  options.float_weights = FloatWeights::repacked;
  CHECK(error_against_reference(o, options) < 0.035);
  options.float_weights = FloatWeights::kept;
  CHECK(error_against_reference(o, options) < (options.kv == KvType::fp32   ? 1e-5
                                               : options.kv == KvType::fp16 ? 1e-3
                                                                            : 0.02));
}

TEST_CASE("Fine activations come closer to the reference by an order of magnitude, biases and gates included") {
  TinyModelOptions o;
  o.d_model = 64, o.d_ff = 96, o.qkv_bias = true;
  o.attention = o.feed_forward = DType::q4_1, o.embedding = DType::q8_0;  // no rounding of weights
  const double coarse = error_against_reference(o, {1, KvType::fp32, false});
  const double fine = error_against_reference(o, {1, KvType::fp32, true});
  CHECK(coarse > 1e-3);
  CHECK(fine < 1e-4);
}

TEST_CASE("A token's keys and values take two, four or about one byte a number") {
  TinyModelOptions o;  // 2 layers, 2 kv heads of 8
  const auto bytes = [&](KvType kv) {
    const auto backend = cpu_backend({1, kv, false});
    return backend->kv_bytes_per_token(backend->add_model(testing::tiny_model(o)));
  };
  CHECK(bytes(KvType::fp16) == 2 * 2 * 2 * 8 * 2);
  CHECK(bytes(KvType::fp32) == 2 * 2 * 2 * 8 * 4);
  CHECK(bytes(KvType::int8) == 2 * 2 * 2 * (8 + 2));
}

TEST_CASE("A copied page serves another sequence with the same bits") {
  const auto model = testing::tiny_model();
  Rig rig(cpu_backend({2, KvType::fp16, false}), model, 16);
  const auto tokens = some_tokens(20, rig.vocab());
  const auto want = rig.logits(tokens);
  const auto from = rig.table(0), to = rig.table(1);
  const PageCopy copies[] = {{ModelId(0), from[0], to[0], 16}, {ModelId(0), from[1], to[1], 3}};
  rig.backend().copy_pages(copies);
  const auto got = rig.logits(std::span(tokens).subspan(19), 19, 1);
  CHECK(std::memcmp(got.data(), &want[19 * rig.vocab()], got.size() * sizeof(float)) == 0);
}

TEST_CASE("Two models share one arena") {
  TinyModelOptions small, large;
  large.layers = 3, large.d_model = 64, large.seed = 2;
  const auto backend = cpu_backend({2, KvType::fp16, false});
  const ModelId a = backend->add_model(testing::tiny_model(small)), b = backend->add_model(testing::tiny_model(large));
  CHECK(a == ModelId(0));
  CHECK(b == ModelId(1));
  const PageGeometry geometry[] = {{16, granule_bytes}, {8, 2 * granule_bytes}};
  backend->bind_arena({3 * granule_bytes, geometry});
  Rig alone(cpu_backend(), testing::tiny_model(large), 8);
  const auto tokens = some_tokens(8, small.vocab);
  const Granule page_a[] = {0}, page_b[] = {1};
  std::vector<float> logits_a(small.vocab), logits_b(tokens.size() * large.vocab);
  const Segment in_a{tokens, 0, page_a, {}, logits_a}, in_b{tokens, 0, page_b, {}, logits_b};
  backend->forward({a, {&in_a, 1}, {}});
  backend->forward({b, {&in_b, 1}, {}});
  CHECK(logits_b == alone.logits(tokens));
}

TEST_CASE("A mask that allows no token draws none, and the row beside it is served") {
  Rig rig(cpu_backend({2, KvType::fp16, false}), testing::tiny_model());
  const auto tokens = some_tokens(5, rig.vocab());
  const auto want = rig.logits(tokens);
  const std::vector<std::uint32_t> nothing((rig.vocab() + 31) / 32);
  const Sampling greedy;
  std::vector<DrawSpec> draws(2);
  draws[0].sampling = draws[1].sampling = &greedy;
  draws[0].mask = nothing;
  std::vector<TokenScore> drawn(2);
  const auto pages = rig.table(0);
  const Segment s{tokens, 0, pages, draws, {}};
  rig.backend().forward({ModelId(0), {&s, 1}, drawn});
  const auto last = std::span(want).last(rig.vocab());
  CHECK(drawn[0].token == -1);
  CHECK(drawn[1].token == std::max_element(last.begin(), last.end()) - last.begin());
}

TEST_CASE("A draft that its distribution cannot have given is that batch's error, and the next batch is served") {
  Rig rig(cpu_backend({2, KvType::fp16, false}), testing::tiny_model());
  const auto tokens = some_tokens(5, rig.vocab());
  const auto want = rig.logits(tokens);
  const std::vector<float> nothing(rig.vocab());
  const Sampling greedy;
  DrawSpec draw;
  draw.sampling = &greedy, draw.draft_distribution = nothing, draw.drafted = 1;
  std::vector<TokenScore> drawn(1);
  const auto pages = rig.table(0);
  const Segment s{tokens, 0, pages, {&draw, 1}, {}};
  CHECK(code_of([&] { rig.backend().forward({ModelId(0), {&s, 1}, drawn}); }) == Errc::invalid_argument);
  CHECK(rig.logits(tokens) == want);
}

TEST_CASE("Draws and logits asked for together agree, in the order of the segments") {
  Rig rig(cpu_backend({2, KvType::fp16, false}), testing::tiny_model());
  const auto tokens = some_tokens(12, rig.vocab());
  const Sampling greedy;
  DrawSpec draw;
  draw.sampling = &greedy;
  const std::vector<DrawSpec> draws(3, draw);
  std::vector<TokenScore> drawn(4);
  std::vector<float> logits(5 * rig.vocab());
  const auto first = rig.table(0), second = rig.table(1);
  const Segment segments[] = {{tokens, 0, first, draws, logits},
                              {std::span(tokens).first(7), 0, second, {&draw, 1}, {}}};
  rig.backend().forward({ModelId(0), segments, drawn});
  const auto all = rig.logits(tokens, 0, 2);
  const auto best = [&](std::size_t row) {
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(row * rig.vocab());
    return static_cast<Token>(std::max_element(at, at + rig.vocab()) - at);
  };
  for (std::size_t i = 0; i < 3; ++i) CHECK(drawn[i].token == best(9 + i));
  CHECK(drawn[3].token == best(6));
  CHECK(std::equal(logits.begin(), logits.end(), all.begin() + 7 * rig.vocab()));
}

TEST_CASE("Set-up errors have their codes") {
  CHECK(code_of([] { cpu_backend({0, KvType::fp16, false}); }) == Errc::invalid_argument);
  const auto backend = cpu_backend();
  CHECK(code_of([&] { backend->add_model(nullptr); }) == Errc::invalid_argument);
  CHECK(code_of([&] { (void)backend->kv_bytes_per_token(ModelId(3)); }) == Errc::invalid_argument);
  CHECK(backend->traits().batch_invariant);
  CHECK(backend->name() == "cpu");
}

TEST_CASE("A device whose plain floats are repacked says so, and its pages are none of the others'") {
  const auto repacked = cpu::backend_with({.float_weights = FloatWeights::repacked}, cpu::portable_kernels());
  CHECK(repacked->traits().device == "cpu (portable, float weights in 8 bits)");
  CHECK(cpu::backend_with({}, cpu::portable_kernels())->traits().device == "cpu (portable)");
  const auto model = testing::tiny_model();
  Rig kept(cpu_backend(), model), other(cpu_backend({.float_weights = FloatWeights::repacked}), model);
  CHECK(kept.backend().layout_fingerprint(ModelId(0)) != other.backend().layout_fingerprint(ModelId(0)));
}

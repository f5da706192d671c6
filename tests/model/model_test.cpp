// Model: what it checks of its parts, what it answers, when its fingerprint changes.
#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <functional>
#include <limits>

#include "support/tiny_model.hpp"

namespace frugal {
namespace {

using testing::tiny_model;
using testing::tiny_parts;
using testing::TinyModelOptions;

Error refused(const std::function<void(ModelParts&)>& damage) {
  ModelParts parts = tiny_parts();
  damage(parts);
  try {
    const Model model(std::move(parts));
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  return Error(Errc::internal, "");
}

Tensor& tensor_of(ModelParts& parts, std::string_view name) {
  return *std::find_if(parts.tensors.begin(), parts.tensors.end(), [&](const Tensor& t) { return t.name == name; });
}

TEST_CASE("a model finds its tensors by name and by layer") {
  TinyModelOptions options;
  options.qkv_bias = true, options.qk_norm = true, options.tied_head = false;
  const auto model = tiny_model(options);
  CHECK(&model->embedding() == model->find("token_embd.weight"));
  CHECK(&model->head() == model->find("output.weight"));
  CHECK(&model->output_norm() == model->find("output_norm.weight"));
  CHECK(model->find("nothing") == nullptr);
  for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output", "attn_norm", "attn_q_norm", "attn_k_norm",
                           "ffn_gate", "ffn_up", "ffn_down", "ffn_norm"}) {
    CAPTURE(part);
    REQUIRE(model->layer(1, part) != nullptr);
    CHECK(model->layer(1, part) == model->find("blk.1." + std::string(part) + ".weight"));
  }
  CHECK(model->layer(0, "attn_k", true) == model->find("blk.0.attn_k.bias"));
  CHECK(model->layer(0, "ffn_up", true) == nullptr);
  CHECK(model->layer(2, "attn_q") == nullptr);
  CHECK(model->layer(0, "attn_x") == nullptr);
  std::uint64_t bytes = 0;
  for (const Tensor& t : model->tensors()) bytes += t.data.size();
  CHECK(model->weight_bytes() == bytes);
}

TEST_CASE("parts that contradict each other are refused by name") {
  struct Case {
    const char* reason;
    std::function<void(ModelParts&)> damage;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<Case> cases{
      {"layers is 0", [](ModelParts& p) { p.spec.layers = 0; }},
      {"layers is 4000000000", [](ModelParts& p) { p.spec.layers = 4000000000; }},
      {"heads is 0", [](ModelParts& p) { p.spec.heads = 0; }},
      {"kv_heads 3 does not divide heads 4", [](ModelParts& p) { p.spec.kv_heads = 3; }},
      {"kv_heads is 8", [](ModelParts& p) { p.spec.kv_heads = 8; }},
      {"rope_dims 7 is odd", [](ModelParts& p) { p.spec.rope_dims = 7; }},
      {"rope_dims is 16", [](ModelParts& p) { p.spec.rope_dims = 16; }},
      {"context is 0", [](ModelParts& p) { p.spec.context = 0; }},
      {"rms_eps", [nan](ModelParts& p) { p.spec.rms_eps = nan; }},
      {"rope_theta", [](ModelParts& p) { p.spec.rope_theta = 0; }},
      {"3 rope divisors for 4 frequencies",
       [](ModelParts& p) {
         p.spec.rope_divisors = {1, 1, 1};
       }},
      {"rope divisor 0",
       [](ModelParts& p) {
         p.spec.rope_divisors = {1, 1, 0, 1};
       }},
      {"blk.0.ffn_gate.weight is [64, 32], expected [96, 32]", [](ModelParts& p) { p.spec.d_ff = 96; }},
      {"two tensors are named output_norm.weight",
       [](ModelParts& p) { p.tensors.push_back(tensor_of(p, "output_norm.weight")); }},
      {"blk.1.attn_v.weight is missing", [](ModelParts& p) { tensor_of(p, "blk.1.attn_v.weight").name = "other"; }},
      {"output.weight is missing", [](ModelParts& p) { p.spec.tied_head = false; }},
      {"does not fit its",
       [](ModelParts& p) {
         tensor_of(p, "output_norm.weight").data = tensor_of(p, "output_norm.weight").data.first(4);
       }},
      {"is empty", [](ModelParts& p) { tensor_of(p, "output_norm.weight").cols = 0; }},
      {"not a whole number of q4_k blocks",
       [](ModelParts& p) { tensor_of(p, "output_norm.weight").type = DType::q4_k; }},
      {"does not fit its", [](ModelParts& p) { tensor_of(p, "output_norm.weight").rows = 1ULL << 60; }},
      {"the tokenizer has 259 tokens, the embedding only 200 rows",
       [](ModelParts& p) {
         Tensor& t = tensor_of(p, "token_embd.weight");
         t.rows = p.spec.vocab = 200;
         t.data = t.data.first(200 * t.row_bytes());
       }},
  };
  for (const Case& c : cases) {
    const Error error = refused(c.damage);
    CAPTURE(c.reason, error.message());
    CHECK(error.code() == Errc::bad_model);
    CHECK(error.message().find(c.reason) != std::string::npos);
  }
}

TEST_CASE("NaN in a norm is the model's own business") {
  ModelParts parts = tiny_parts();
  const std::vector<float> norm(32, std::numeric_limits<float>::quiet_NaN());
  tensor_of(parts, "output_norm.weight").data = std::as_bytes(std::span(norm));
  CHECK_NOTHROW(Model(parts));
}

TEST_CASE("a template we cannot compile is an error only when it is used") {
  ModelParts parts = tiny_parts();
  parts.chat_template = "{% bad";
  const Model model(parts);
  CHECK_THROWS_AS(model.chat_template(), Error);
  CHECK(model.tokenizer() != nullptr);
}

TEST_CASE("without a template a vocabulary with ChatML's marks is asked in ChatML, any other not at all") {
  ModelParts parts = tiny_parts();
  parts.chat_template.reset();
  const Model model(parts);
  REQUIRE(model.chat_template() != nullptr);
  CHECK(model.chat_template()->render({.messages = {{.role = "user", .content = "Hi"}}}).value().text ==
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  BpeVocabulary bare = testing::byte_vocabulary();
  bare.tokens[256] = "<|other|>";
  parts.tokenizer = std::make_shared<const Tokenizer>(bare);
  CHECK(Model(parts).chat_template() == nullptr);
}

TEST_CASE("the fingerprint follows spec, weights, tokenizer and template, not name or order") {
  const std::uint64_t base = tiny_model()->fingerprint();
  CHECK(base != 0);
  CHECK(tiny_model()->fingerprint() == base);
  const auto changed = [&](const std::function<void(ModelParts&)>& change) {
    ModelParts parts = tiny_parts();
    change(parts);
    return Model(std::move(parts)).fingerprint() != base;
  };
  CHECK(!changed([](ModelParts& p) { p.name = "other"; }));
  CHECK(!changed([](ModelParts& p) { std::reverse(p.tensors.begin(), p.tensors.end()); }));
  CHECK(changed([](ModelParts& p) { p.spec.rope_theta = 1e6; }));
  CHECK(changed([](ModelParts& p) { p.spec.rope_layout = RopeLayout::halves; }));
  CHECK(changed([](ModelParts& p) { p.spec.sliding_window = 3; }));
  CHECK(changed([](ModelParts& p) { p.spec.rope_divisors = {2, 2, 2, 2}; }));
  CHECK(changed([](ModelParts& p) { p.tokenizer = nullptr; }));
  CHECK(changed([](ModelParts& p) { p.chat_template = "Hello"; }));
  CHECK(changed([](ModelParts& p) {
    std::swap(tensor_of(p, "blk.0.ffn_up.weight").data, tensor_of(p, "blk.1.ffn_up.weight").data);
  }));
  CHECK(changed([](ModelParts& p) { p.fingerprint = 42; }));
  TinyModelOptions other;
  other.seed = 2;
  CHECK(tiny_model(other)->fingerprint() != base);
}

}  // namespace
}  // namespace frugal

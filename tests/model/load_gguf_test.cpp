// load_model on GGUF files: the spec, the tokenizer, shards, and what is refused; on the real SmolLM2 where it is at
// hand.
#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <map>

#include "model/architectures.hpp"
#include "model/gguf.hpp"
#include "model/loaders.hpp"
#include "support/error_of.hpp"
#include "support/tiny_model.hpp"
#include "support/write_gguf.hpp"

namespace frugal {
namespace {

using testing::Blob;
using testing::error_of;
using testing::GgufWriter;
using testing::mentions;
using testing::TinyModelOptions;

void check_same_spec(const DecoderSpec& a, const DecoderSpec& b) {
  CHECK(a.architecture == b.architecture);
  CHECK(a.layers == b.layers);
  CHECK(a.d_model == b.d_model);
  CHECK(a.d_ff == b.d_ff);
  CHECK(a.heads == b.heads);
  CHECK(a.kv_heads == b.kv_heads);
  CHECK(a.head_dim == b.head_dim);
  CHECK(a.vocab == b.vocab);
  CHECK(a.context == b.context);
  CHECK(a.rms_eps == b.rms_eps);
  CHECK(a.rope_theta == b.rope_theta);
  CHECK(a.rope_layout == b.rope_layout);
  CHECK(a.rope_dims == b.rope_dims);
  CHECK(a.rope_divisors == b.rope_divisors);
  CHECK(a.qkv_bias == b.qkv_bias);
  CHECK(a.qk_norm == b.qk_norm);
  CHECK(a.tied_head == b.tied_head);
  CHECK(a.sliding_window == b.sliding_window);
}

TEST_CASE("further chat templates of a GGUF file are found by their names") {
  const testing::ScratchFolder folder;
  ModelParts parts = testing::tiny_parts();
  parts.chat_template = "usual";
  const BpeVocabulary vocabulary = testing::byte_vocabulary();
  const auto header = [&] {
    return testing::gguf_header(parts, &vocabulary)
        .add("tokenizer.chat_templates", std::vector<std::string>{"tool_use"});
  };
  const auto write = [&](GgufWriter file) {
    for (const Tensor& t : parts.tensors) file.add(t);
    testing::write_file(folder / "m.gguf", file.bytes());
  };
  write(header().add("tokenizer.chat_template.tool_use", "TOOLS"));
  const auto model = load_model(folder / "m.gguf");
  CHECK(model->chat_template("tool_use")->render({.messages = {{"user", "x"}}}).value().text == "TOOLS");
  write(header());
  CHECK(
      mentions(error_of([&] { (void)load_model(folder / "m.gguf"); }), "tokenizer.chat_template.tool_use is missing"));
}

TEST_CASE("a model written to GGUF loads as it was, for each architecture and switch") {
  const testing::ScratchFolder folder;
  TinyModelOptions llama;
  llama.tied_head = false, llama.rope_divisors = {1, 2, 4, 8}, llama.head = DType::f16, llama.sliding_window = 64;
  TinyModelOptions qwen2;
  qwen2.architecture = "qwen2", qwen2.rope_layout = RopeLayout::halves, qwen2.qkv_bias = true,
  qwen2.attention = DType::q5_0;
  TinyModelOptions qwen3;
  qwen3.architecture = "qwen3", qwen3.rope_layout = RopeLayout::halves, qwen3.qk_norm = true, qwen3.head_dim = 16,
  qwen3.embedding = DType::bf16;
  const BpeVocabulary vocabulary = testing::byte_vocabulary();
  for (const TinyModelOptions& options : {llama, qwen2, qwen3}) {
    CAPTURE(options.architecture);
    const ModelParts parts = testing::tiny_parts(options);
    testing::write_gguf(folder / "m.gguf", parts, &vocabulary);
    const auto model = load_model(folder / "m.gguf");
    check_same_spec(model->spec(), parts.spec);
    CHECK(model->name() == parts.name);
    REQUIRE(model->tensors().size() == parts.tensors.size());
    for (const Tensor& want : parts.tensors) {
      const Tensor* have = model->find(want.name);
      REQUIRE(have != nullptr);
      CHECK(have->type == want.type);
      CHECK(have->rows == want.rows);
      CHECK(have->cols == want.cols);
      CHECK(std::equal(have->data.begin(), have->data.end(), want.data.begin(), want.data.end()));
    }
    CHECK(model->fingerprint() == Model(parts).fingerprint());
    REQUIRE(model->tokenizer() != nullptr);
    CHECK(model->tokenizer()->size() == 259);
    CHECK(model->tokenizer()->eos() == 257);
    CHECK(model->tokenizer()->is_end(258));
    CHECK(model->tokenizer()->is_control(256));
    CHECK(model->chat_template() != nullptr);
  }
}

TEST_CASE("progress names its stages and ends at one") {
  const testing::ScratchFolder folder;
  testing::write_gguf(folder / "m.gguf", testing::tiny_parts());
  std::vector<std::pair<std::string, double>> seen;
  (void)load_model(folder / "m.gguf",
                   {.progress = [&](std::string_view stage, double share) { seen.emplace_back(stage, share); }});
  REQUIRE(!seen.empty());
  CHECK(seen.front().first == "weights");
  CHECK(seen.back() == std::pair<std::string, double>("ready", 1.0));
  for (const auto& [stage, share] : seen) CHECK((share >= 0.0 && share <= 1.0));
}

TEST_CASE("a file without a tokenizer loads without one") {
  const testing::ScratchFolder folder;
  TinyModelOptions options;
  options.tokenizer = false;
  testing::write_gguf(folder / "m.gguf", testing::tiny_parts(options));
  const auto model = load_model(folder / "m.gguf");
  CHECK(model->tokenizer() == nullptr);
  CHECK(model->chat_template() == nullptr);
}

/// The tiny model in three files; `damage` may change the writer of each before it is written.
void write_shards(
    const testing::ScratchFolder& folder,
    const std::function<void(int, GgufWriter&)>& damage = [](int, GgufWriter&) {}) {
  const ModelParts parts = testing::tiny_parts();
  for (int i = 0; i < 3; ++i) {
    GgufWriter out = i == 0 ? testing::gguf_header(parts) : GgufWriter();
    out.add("split.no", static_cast<std::uint16_t>(i)).add("split.count", std::uint16_t{3});
    out.add("split.tensors.count", static_cast<std::int32_t>(parts.tensors.size()));
    for (std::size_t t = static_cast<std::size_t>(i); t < parts.tensors.size(); t += 3) out.add(parts.tensors[t]);
    damage(i, out);
    testing::write_file(folder / ("m-0000" + std::to_string(i + 1) + "-of-00003.gguf"), out.bytes());
  }
}

TEST_CASE("shards load as one model, whatever is missing or swapped is named") {
  const testing::ScratchFolder folder;
  write_shards(folder);
  const auto model = load_model(folder / "m-00001-of-00003.gguf");
  CHECK(model->tensors().size() == testing::tiny_parts().tensors.size());
  CHECK(mentions(error_of([&] { (void)load_model(folder / "m-00002-of-00003.gguf"); }), "is shard 2 of 3"));

  std::filesystem::copy_file(folder / "m-00001-of-00003.gguf", folder / "other.gguf");
  CHECK(mentions(error_of([&] { (void)load_model(folder / "other.gguf"); }), "does not end in -00001-of-00003.gguf"));

  std::filesystem::copy_file(folder / "m-00003-of-00003.gguf", folder / "m-00002-of-00003.gguf",
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(mentions(error_of([&] { (void)load_model(folder / "m-00001-of-00003.gguf"); }), "is not shard 2 of 3"));
  std::filesystem::remove(folder / "m-00002-of-00003.gguf");
  CHECK(mentions(error_of([&] { (void)load_model(folder / "m-00001-of-00003.gguf"); }),
                 "m-00002-of-00003.gguf: cannot open"));

  const Blob extra(4);
  write_shards(folder, [&](int i, GgufWriter& out) {
    if (i == 2) out.add_raw_tensor("more", 0, {1}, extra);
  });
  CHECK(mentions(error_of([&] { (void)load_model(folder / "m-00001-of-00003.gguf"); }), "split.tensors.count"));
}

/// The error a one-layer model ends in whose header was rewritten.
Error refused(const std::function<void(GgufWriter&)>& change, const TinyModelOptions& options = {}) {
  const ModelParts parts = testing::tiny_parts(options);
  GgufWriter out = testing::gguf_header(parts);
  for (const Tensor& t : parts.tensors) out.add(t);
  change(out);
  const Blob bytes = out.bytes();
  return error_of([&] { Model model(model::parts_from_gguf(model::GgufFile(bytes, "odd.gguf"))); });
}

TEST_CASE("what the forward pass lacks is refused by name") {
  struct Case {
    Errc code;
    const char* reason;
    std::function<void(GgufWriter&)> change;
  };
  const Blob four(4);
  const std::vector<Case> cases{
      {Errc::bad_model, "llama.expert_used_count' is missing", [](GgufWriter& w) { w.add("llama.expert_count", 8U); }},
      {Errc::unsupported, "blk.0.ffn_gate.weight is not used",
       [](GgufWriter& w) { w.add("llama.expert_count", 8U).add("llama.expert_used_count", 2U); }},
      {Errc::unsupported, "'dynamic' is not supported",
       [](GgufWriter& w) { w.add("llama.rope.scaling.type", "dynamic"); }},
      {Errc::unsupported, "llama.attention.clamp_kqv", [](GgufWriter& w) { w.add("llama.attention.clamp_kqv", 8.0F); }},
      {Errc::unsupported, "llama.logit_scale", [](GgufWriter& w) { w.add("llama.logit_scale", 0.5F); }},
      {Errc::unsupported, "llama.embedding_scale", [](GgufWriter& w) { w.add("llama.embedding_scale", 12.0F); }},
      {Errc::unsupported, "llama.residual_scale", [](GgufWriter& w) { w.add("llama.residual_scale", 0.22F); }},
      {Errc::unsupported, "llama.use_parallel_residual",
       [](GgufWriter& w) { w.add("llama.use_parallel_residual", true); }},
      {Errc::unsupported, "llama.expert_gating_func", [](GgufWriter& w) { w.add("llama.expert_gating_func", 2U); }},
      {Errc::unsupported, "llama.leading_dense_block_count",
       [](GgufWriter& w) { w.add("llama.leading_dense_block_count", 1U); }},
      {Errc::unsupported, "llama.attention.chunk_size",
       [](GgufWriter& w) { w.add("llama.attention.chunk_size", 8192U); }},
      {Errc::unsupported, "llama.attention.causal", [](GgufWriter& w) { w.add("llama.attention.causal", false); }},
      {Errc::unsupported, "blk.0.attn_sinks.weight",
       [&](GgufWriter& w) { w.add_raw_tensor("blk.0.attn_sinks.weight", 0, {1}, four); }},
      {Errc::unsupported, "blk.7.attn_q.weight",
       [&](GgufWriter& w) { w.add_raw_tensor("blk.7.attn_q.weight", 0, {1}, four); }},
      {Errc::bad_model, "rope divisor", [](GgufWriter& w) { w.add("llama.rope.scaling.factor", -2.0F); }},
      {Errc::bad_model, "rope divisors for",
       [&](GgufWriter& w) {
         w.add_raw_tensor("rope_freqs.weight", 0, {1}, {std::byte{0}, std::byte{0}, std::byte{128}, std::byte{63}});
       }},
  };
  for (const Case& c : cases) {
    const Error error = refused(c.change);
    CAPTURE(error.message());
    CHECK(error.code() == c.code);
    CHECK(mentions(error, c.reason));
  }
  TinyModelOptions unknown;
  unknown.architecture = "mamba";
  CHECK(mentions(
      refused([](GgufWriter&) {}, unknown),
      "architecture 'mamba' is not supported (llama, qwen2, qwen3, qwen2moe, qwen3moe, gemma2, gemma3, phi3 are)"));
  TinyModelOptions no_bias;
  no_bias.architecture = "qwen2";
  CHECK(mentions(refused([](GgufWriter&) {}, no_bias), "tensor blk.0.attn_q.bias is missing"));
}

TEST_CASE("linear rope scaling divides every frequency") {
  const ModelParts parts = testing::tiny_parts();
  GgufWriter out = testing::gguf_header(parts);
  out.add("llama.rope.scaling.type", "linear").add("llama.rope.scaling.factor", 4.0F);
  for (const Tensor& t : parts.tensors) out.add(t);
  const Blob bytes = out.bytes();
  CHECK(model::parts_from_gguf(model::GgufFile(bytes, "m")).spec.rope_divisors == std::vector<float>(4, 4.0F));
}

/// A header whose tokenizer has one damaged array or id.
Error bad_tokenizer(const std::function<void(GgufWriter&)>& rest) {
  return refused([&](GgufWriter& w) {
    w.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", "gpt-2");
    rest(w);
  });
}

TEST_CASE("a damaged tokenizer is named by key and entry") {
  using Texts = std::vector<std::string>;
  using Ints = std::vector<std::int32_t>;
  const auto tokens = [](GgufWriter& w) -> GgufWriter& {
    return w.add("tokenizer.ggml.tokens", Texts{"a", "b", "ab"});
  };
  CHECK(mentions(bad_tokenizer([](GgufWriter&) {}), "tokenizer.ggml.tokens': is missing"));
  CHECK(mentions(bad_tokenizer([&](GgufWriter& w) { tokens(w); }), "tokenizer.ggml.merges': is missing"));
  CHECK(mentions(bad_tokenizer([&](GgufWriter& w) {
                   tokens(w).add("tokenizer.ggml.merges", Texts{"a b", "ab"});
                 }),
                 "entry 1 is not a pair"));
  CHECK(mentions(bad_tokenizer([&](GgufWriter& w) { tokens(w).add("tokenizer.ggml.token_type", Ints{1}); }),
                 "1 entries for 3 tokens"));
  CHECK(mentions(bad_tokenizer([&](GgufWriter& w) {
                   tokens(w).add("tokenizer.ggml.token_type", Ints{1, 1, 9});
                 }),
                 "unknown type 9"));
  CHECK(mentions(bad_tokenizer([&](GgufWriter& w) {
                   tokens(w).add("tokenizer.ggml.merges", Texts{"a b"}).add("tokenizer.ggml.eos_token_id", 3U);
                 }),
                 "eos_token_id': is out of range"));
}

/// A SentencePiece vocabulary of a model that has 272 rows: unknown, bos, eos, the bytes, then pieces.
BpeVocabulary pieces() {
  BpeVocabulary v;
  v.alphabet = BpeVocabulary::Alphabet::characters;
  const auto add = [&v](const std::string& text, float score, BpeVocabulary::Kind kind) {
    v.tokens.push_back(text);
    v.scores.push_back(score);
    v.kinds.push_back(kind);
  };
  for (const char* control : {"<unk>", "<s>", "</s>"}) add(control, 0, BpeVocabulary::Kind::control);
  for (int byte = 0; byte < 256; ++byte) {
    const char* hex = "0123456789ABCDEF";
    add(std::string("<0x") + hex[byte / 16] + hex[byte % 16] + ">", 0, BpeVocabulary::Kind::byte);
  }
  for (const char* piece : {"\xE2\x96\x81", "h", "i", "hi"})
    add(piece, -static_cast<float>(v.tokens.size()), BpeVocabulary::Kind::normal);
  add("<|assistant|>", 0, BpeVocabulary::Kind::control);
  add("<end_of_turn>", 0, BpeVocabulary::Kind::normal);
  v.unknown = 0, v.bos = 1, v.eos = 2, v.add_bos = true;
  return v;
}

TEST_CASE("a file of tokenizer model llama is SentencePiece: its scores, its space, its bytes, its ends") {
  using Ids = std::vector<Token>;
  const auto load = [](const BpeVocabulary& v, const char* name = "m") {
    ModelParts parts = testing::tiny_parts();
    parts.name = name;
    GgufWriter out = testing::gguf_header(parts, &v);
    for (const Tensor& t : parts.tensors) out.add(t);
    const Blob bytes = out.bytes();
    return model::parts_from_gguf(model::GgufFile(bytes, "m")).tokenizer;
  };
  const auto tokenizer = load(pieces());
  REQUIRE(tokenizer != nullptr);
  CHECK(tokenizer->encode("hi hi") == Ids{1, 259, 262, 259, 262});
  CHECK(tokenizer->encode("\xC3\xA9", {.add_bos = false}) == Ids{259, 3 + 0xC3, 3 + 0xA9});
  CHECK(tokenizer->decode({259, 262}) == "hi");
  CHECK((tokenizer->is_end(2) && tokenizer->is_end(264) && !tokenizer->is_end(263)));
  CHECK(tokenizer->encode("<|assistant|> hi", {.add_bos = false}) == Ids{263, 259, 259, 262});

  BpeVocabulary bare = pieces();
  bare.spaces.prefix = BpeVocabulary::Spaces::Prefix::never;
  bare.add_bos = false;
  CHECK(load(bare)->encode("hi hi") == Ids{262, 259, 262});
  BpeVocabulary both = pieces();
  both.add_eos = true;
  CHECK(load(both)->encode("hi") == Ids{1, 259, 262, 2});
  // Phi-3's special tokens take the blanks after them along.
  const auto phi3 = load(pieces(), "Phi-3 Mini");
  CHECK(phi3->encode("<|assistant|>\n hi", {.add_bos = false}) == Ids{263, 259, 262});
}

TEST_CASE("a SentencePiece tokenizer whose scores or rules we cannot follow is refused by key") {
  const auto with = [](const std::function<void(GgufWriter&)>& rest) {
    return refused([&](GgufWriter& w) {
      w.add("tokenizer.ggml.model", "llama").add("tokenizer.ggml.tokens", std::vector<std::string>{"a"});
      rest(w);
    });
  };
  CHECK(mentions(with([](GgufWriter&) {}), "tokenizer.ggml.scores': is missing"));
  CHECK(mentions(with([](GgufWriter& w) {
                   w.add("tokenizer.ggml.scores", std::vector<float>{1, 2});
                 }),
                 "has 2 entries for 1 tokens"));
}

TEST_CASE("a tokenizer that we lack blocks neither token prompts nor scores, and says why where text comes") {
  const auto load = [](const std::function<void(GgufWriter&)>& change) {
    const ModelParts parts = testing::tiny_parts();
    GgufWriter out = testing::gguf_header(parts);
    for (const Tensor& t : parts.tensors) out.add(t);
    change(out);
    const Blob bytes = out.bytes();
    const Model model(model::parts_from_gguf(model::GgufFile(bytes, "odd.gguf")));
    CHECK(model.tokenizer() == nullptr);
    CHECK(model.tokens() == model.spec().vocab);
    REQUIRE(model.tokenizer_error() != nullptr);
    CHECK(model.tokenizer_error()->code() == Errc::unsupported);
    return *model.tokenizer_error();
  };
  CHECK(mentions(load([](GgufWriter& w) { w.add("tokenizer.ggml.model", "t5"); }), "tokenizer model 't5'"));
  CHECK(
      mentions(load([](GgufWriter& w) { w.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", "martian"); }),
               "pre-tokenizer 'martian' is not supported"));
  CHECK(mentions(load([](GgufWriter& w) { w.add("tokenizer.ggml.model", "gpt2"); }),
                 "key 'tokenizer.ggml.pre' is missing"));
  CHECK(mentions(load([](GgufWriter& w) {
                   w.add("tokenizer.ggml.model", "llama").add("tokenizer.ggml.tokens", std::vector<std::string>{"a"});
                   w.add("tokenizer.ggml.scores", std::vector<float>{1});
                   w.add("tokenizer.ggml.remove_extra_whitespaces", true);
                 }),
                 "'tokenizer.ggml.remove_extra_whitespaces' is true, which is not supported"));
}

TEST_CASE("weights that were read survive what happens to their file") {
  const testing::ScratchFolder folder;
  const ModelParts parts = testing::tiny_parts();
  testing::write_gguf(folder / "m.gguf", parts);
  LoadOptions options;
  options.weights = LoadOptions::Weights::read;
  const auto model = load_model(folder / "m.gguf", options);
  std::filesystem::resize_file(folder / "m.gguf", 0);
  for (const Tensor& t : parts.tensors) {
    const Tensor* have = model->find(t.name);
    REQUIRE(have != nullptr);
    CHECK_FALSE(have->mapped);
    CHECK(std::equal(have->data.begin(), have->data.end(), t.data.begin(), t.data.end()));
  }
}

TEST_CASE("a folder, a pipe or a device in place of a file is refused at once") {
  const testing::ScratchFolder folder;
  const std::string pipe = folder / "pipe.gguf";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(mentions(error_of([&] { (void)load_model(pipe); }), "is not a regular file"));
  CHECK(mentions(error_of([&] { (void)load_model("/dev/zero"); }), "is not a regular file"));
  std::filesystem::create_directories(folder / "config.json");
  CHECK(mentions(error_of([&] { (void)load_model(folder.path()); }), "is a folder, not a regular file"));
}

TEST_CASE("paths that name no model say so") {
  const testing::ScratchFolder folder;
  CHECK(mentions(error_of([&] { (void)load_model(folder / "none.gguf"); }), "does not exist"));
  testing::write_file(folder / "text.gguf", "once upon a time");
  CHECK(mentions(error_of([&] { (void)load_model(folder / "text.gguf"); }), "is not a GGUF file"));
  testing::write_file(folder / "empty.gguf", "");
  CHECK(error_of([&] { (void)load_model(folder / "empty.gguf"); }).code() == Errc::bad_file);
  CHECK(mentions(error_of([&] { (void)load_model(folder.path()); }), "config.json: cannot open"));
}

TEST_CASE("SmolLM2 loads with the spec and tensors it is known to have") {
  const std::filesystem::path path = FRUGAL_DEPS "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(path)) SKIP("the model is not at hand");
  const auto model = load_model(path);
  DecoderSpec want;
  want.architecture = "llama";
  want.layers = 30, want.d_model = 576, want.d_ff = 1536, want.heads = 9, want.kv_heads = 3, want.head_dim = 64;
  want.vocab = 49152, want.context = 8192, want.rms_eps = 1e-5F, want.rope_theta = 100000, want.rope_dims = 64;
  want.rope_layout = RopeLayout::adjacent, want.tied_head = true;
  check_same_spec(model->spec(), want);

  std::map<DType, int> types;
  std::uint64_t values = 0;
  for (const Tensor& t : model->tensors()) ++types[t.type], values += t.rows * t.cols;
  CHECK(types == std::map<DType, int>{{DType::q4_1, 210}, {DType::q8_0, 1}, {DType::f32, 61}});
  CHECK(values == 134515008);
  CHECK(&model->head() == &model->embedding());
  CHECK(model->layer(29, "ffn_down")->cols == 1536);
  CHECK(model->layer(0, "attn_q", true) == nullptr);
  REQUIRE(model->tokenizer() != nullptr);
  CHECK(model->tokenizer()->size() == 49152);
  CHECK(model->tokenizer()->bos() == 1);
  CHECK(model->tokenizer()->eos() == 2);
  CHECK(model->tokenizer()->is_end(0));
  CHECK(model->chat_template() != nullptr);
  CHECK(model->fingerprint() == load_model(path)->fingerprint());
}

}  // namespace
}  // namespace frugal

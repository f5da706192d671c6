// Byte identity through the whole engine: the same 64 requests give the same tokens and log-probabilities, bit for bit,
// however the engine runs them. By default a tiny model goes through a quarter of the matrix and SmolLM2, with
// 12 of the requests, through three corners of it; with FRUGAL_IDENTITY=full in the environment both go through all of
// it, which takes long, so FRUGAL_IDENTITY_PART=3/8 runs the third of eight parts only:
//   FRUGAL_IDENTITY=full FRUGAL_IDENTITY_PART=3/8 build/dev/bin/tests/test_cpu_identity "SmolLM2*"
#include "cpu/identity.hpp"
#include "support/tiny_model.hpp"

#include <frugal/cpu/backend.hpp>
#include <frugal/engine/engine.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

using namespace frugal;
using testing::Bits;
using testing::bits_of;
using testing::full_run;

namespace {

constexpr std::uint32_t requests = 64, answer_tokens = 6, page_tokens = 16, shared_tokens = 40;

struct Way {
  unsigned threads;
  std::uint32_t batch;  ///< sequences in flight at once; 1 = each request alone
  std::uint32_t chunk;  ///< prompt tokens of one sequence in a step
  KvType kv = KvType::fp16;
  PromptArithmetic prompts = PromptArithmetic::exact;
};

/// Tokens of the request after the shared ones: mostly short, three that fill pages, key blocks and chunks.
std::uint32_t own_tokens(std::uint32_t i) {
  if (i == 5) return 90;
  if (i == 21) return 150;
  return i == 37 ? 530 : 1 + i * 7 % 24;
}

/// A quarter greedy without a shared prefix, a quarter greedy behind it, and both again with a seed.
std::vector<Request> workload(const Model& model, std::uint32_t count) {
  const std::vector<Token> ids = testing::tokens_of_text(model);
  std::vector<Request> all;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto own = ids.begin() + shared_tokens + i * 3;
    std::vector<Token> prompt;
    if (i % 2 == 1) prompt.assign(ids.begin(), ids.begin() + shared_tokens);
    prompt.insert(prompt.end(), own, own + own_tokens(i));
    Request r{TokenPrompt{std::move(prompt)}};
    r.max_tokens = answer_tokens, r.logprobs = 3;
    if (i % 4 >= 2) r.sampling = {.temperature = 0.9F, .top_k = i % 8 == 3 ? 40 : 0, .top_p = 0.95F, .seed = i};
    all.push_back(std::move(r));
  }
  return all;
}

struct Pass {
  std::vector<Bits> answers;
  std::uint64_t cached = 0;  ///< prompt tokens that were not computed
};

Pass run_all(Engine& engine, std::vector<Request> work, bool use_prefixes) {
  std::vector<Stream> streams;
  for (Request& r : work) {
    r.use_prefix_cache = use_prefixes;
    streams.push_back(engine.submit(std::move(r)));
  }
  Pass pass;
  for (Stream& s : streams) {
    const Answer a = s.wait();
    CAPTURE(pass.answers.size(), a.finish.error ? a.finish.error->what() : "");
    REQUIRE_FALSE(a.finish.error);
    REQUIRE(!a.tokens.empty());
    REQUIRE(a.scores.size() == a.tokens.size());
    pass.answers.push_back(bits_of(a));
    pass.cached += a.finish.usage.cached_read;
  }
  return pass;
}

std::unique_ptr<Engine> engine_for(const std::shared_ptr<const Model>& model, const Way& way) {
  EngineOptions o;
  o.backend = cpu_backend({.threads = way.threads, .kv = way.kv, .prompts = way.prompts});
  o.models = {{"m", model}};
  o.page_tokens = page_tokens;
  o.max_running = way.batch, o.prefill_chunk = way.chunk, o.step_tokens = way.chunk + way.batch;
  o.prefix_cache = lru();
  return std::make_unique<Engine>(std::move(o));
}

std::vector<Bits> plainly(const std::shared_ptr<const Model>& model, KvType kv, std::uint32_t count,
                          PromptArithmetic prompts = PromptArithmetic::exact) {
  const Pass pass = run_all(*engine_for(model, {1, 1, 512, kv, prompts}), workload(*model, count), false);
  CHECK(pass.cached == 0);
  REQUIRE(pass.answers.size() == count);
  // Requests differ, so that answers which change places are seen.
  auto sorted = pass.answers;
  std::sort(sorted.begin(), sorted.end());
  REQUIRE(std::unique(sorted.begin(), sorted.end()) - sorted.begin() > count * 3 / 4);
  return pass.answers;
}

/// Cold without the index, then while it fills, then with every full page of every prompt in it.
void check(const std::shared_ptr<const Model>& model, const Way& way, const std::vector<Bits>& want) {
  CAPTURE(way.threads, way.batch, way.chunk, static_cast<int>(way.kv));
  const auto engine = engine_for(model, way);
  const auto work = workload(*model, static_cast<std::uint32_t>(want.size()));
  const Pass cold = run_all(*engine, work, false);
  const Pass filling = run_all(*engine, work, true);
  const Pass warm = run_all(*engine, work, true);
  REQUIRE(cold.cached == 0);
  REQUIRE(warm.cached > filling.cached);
  REQUIRE(filling.cached > 0);
  REQUIRE(cold.answers == want);
  REQUIRE(filling.answers == want);
  REQUIRE(warm.answers == want);
}

/// Deals the whole matrix out to parts, each with every chunk and thread count.
std::vector<Way> asked_part(const std::vector<Way>& all) {
  const char* said = std::getenv("FRUGAL_IDENTITY_PART");
  std::size_t part = 1, of = 1;
  if (said != nullptr && (std::sscanf(said, "%zu/%zu", &part, &of) != 2 || part < 1 || part > of))
    FAIL("FRUGAL_IDENTITY_PART is " << said << ", not like 3/8");
  std::vector<Way> mine;
  for (std::size_t i = 0; i < all.size(); ++i)
    if ((i / 4 + 5 * (i % 4)) % of == part - 1) mine.push_back(all[i]);
  return mine;
}

/// The whole matrix, or every batch size and thread count with one of the chunks each.
std::vector<Way> matrix(KvType kv, bool whole) {
  constexpr std::uint32_t chunks[] = {1, 7, 64, 512};
  std::vector<Way> ways;
  for (const unsigned threads : {1U, 2U})
    for (std::uint32_t batch = 1; batch <= 16; ++batch)
      for (std::uint32_t c = 0; c < 4; ++c)
        if (whole || c == (batch + threads) % 4) ways.push_back({threads, batch, chunks[c], kv});
  return whole ? asked_part(ways) : ways;
}

std::shared_ptr<const Model> mixed_model(bool floats = false) {
  testing::TinyModelOptions o;
  o.d_model = 64, o.d_ff = 160, o.heads = 4, o.kv_heads = 2, o.layers = 3, o.context = 1024, o.vocab = 259;
  o.attention = DType::q4_1, o.feed_forward = DType::q4_0, o.embedding = DType::q8_0;
  o.logit_scale = 2.0F;
  if (floats) o.attention = DType::f16, o.feed_forward = DType::bf16, o.embedding = DType::f32;
  return testing::tiny_model(o);
}

}  // namespace

TEST_CASE(
    "A tiny model's 64 answers have the same bits alone and in batches of 2 to 16, chunks of 1, 7, 64 and 512, "
    "1 and 2 threads, cold and behind cached prefixes") {
  const auto model = mixed_model();
  for (const KvType kv : {KvType::fp16, KvType::int8}) {
    const auto want = plainly(model, kv, requests);
    for (const Way& way : matrix(kv, full_run())) check(model, way, want);
  }
}

TEST_CASE("The answers of a model that nobody quantised have the same bits however the engine runs it") {
  const auto model = mixed_model(true);
  const auto want = plainly(model, KvType::fp16, requests);
  for (const Way& way : matrix(KvType::fp16, full_run())) check(model, way, want);
}

TEST_CASE("SmolLM2's answers have the same bits however the engine runs them") {
  const auto model = testing::smollm2();
  const auto want = plainly(model, KvType::fp16, full_run() ? requests : 12);
  const std::vector<Way> corners{{2, 3, 1}, {1, 12, 7}, {2, 5, 64}};
  for (const Way& way : full_run() ? matrix(KvType::fp16, true) : corners) check(model, way, want);
}

TEST_CASE("With prompts in bf16 the answers have the same bits too, alone and in batches, cold and behind prefixes") {
  const auto model = mixed_model(GENERATE(false, true));
  const auto want = plainly(model, KvType::fp16, requests, PromptArithmetic::bf16);
  for (const std::uint32_t batch : {1U, 5U, 16U})
    for (const std::uint32_t chunk : {1U, 7U, 64U, 512U})
      check(model, {1 + batch % 2, batch, chunk, KvType::fp16, PromptArithmetic::bf16}, want);
}

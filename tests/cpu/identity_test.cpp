// Byte identity through the whole engine: the same 64 requests give the same tokens and log-probabilities, bit for bit,
// however the engine runs them. By default a tiny model goes through a quarter of the matrix and SmolLM2, with
// 12 of the requests, through three corners of it. All of it, hours of one core, in n parts that may run at different
// times:
//   for i in 1 2 3 4; do FRUGAL_IDENTITY=full:$i/4 build/dev/bin/tests/test_cpu_identity; done
// (FRUGAL_IDENTITY=full is all of them at once.)
#include "support/tiny_model.hpp"

#include <frugal/cpu/backend.hpp>
#include <frugal/engine/engine.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

using namespace frugal;

namespace {

constexpr std::uint32_t requests = 64, answer_tokens = 6, page_tokens = 16, shared_tokens = 40;

struct Way {
  unsigned threads;
  std::uint32_t batch;  ///< sequences in flight at once; 1 = each request alone
  std::uint32_t chunk;  ///< prompt tokens of one sequence in a step
  KvType kv = KvType::fp16;
};

/// Everything a reader learns of an answer, as bits.
using Bits = std::vector<std::uint32_t>;

Bits bits_of(const Answer& answer) {
  Bits bits;
  for (const Token t : answer.tokens) bits.push_back(static_cast<std::uint32_t>(t));
  for (const TokenScore& s : answer.scores) {
    bits.insert(bits.end(), {static_cast<std::uint32_t>(s.token), std::bit_cast<std::uint32_t>(s.logprob)});
    for (const TokenLogprob& t : s.top)
      bits.insert(bits.end(), {static_cast<std::uint32_t>(t.token), std::bit_cast<std::uint32_t>(t.logprob)});
  }
  return bits;
}

/// Tokens of the request after the shared ones: mostly short, three that fill pages, key blocks and chunks.
std::uint32_t own_tokens(std::uint32_t i) {
  if (i == 5) return 90;
  if (i == 21) return 150;
  return i == 37 ? 530 : 1 + i * 7 % 24;
}

/// A quarter greedy without a shared prefix, a quarter greedy behind it, and both again with a seed.
std::vector<Request> workload(const Model& model, std::uint32_t count) {
  std::ifstream file(FRUGAL_TEST_DATA "/../examples/data/support_policy.txt");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::vector<Token> ids = model.tokenizer()->encode(text);
  REQUIRE(ids.size() > 800);
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
  o.backend = cpu_backend({.threads = way.threads, .kv = way.kv});
  o.models = {{"m", model}};
  o.page_tokens = page_tokens;
  o.max_running = way.batch, o.prefill_chunk = way.chunk, o.step_tokens = way.chunk + way.batch;
  o.prefix_cache = lru();
  return std::make_unique<Engine>(std::move(o));
}

std::vector<Bits> plainly(const std::shared_ptr<const Model>& model, KvType kv, std::uint32_t count) {
  const Pass pass = run_all(*engine_for(model, {1, 1, 512, kv}), workload(*model, count), false);
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

/// The whole matrix, or every batch size and thread count with one of the chunks each.
std::vector<Way> matrix(KvType kv, bool whole) {
  constexpr std::uint32_t chunks[] = {1, 7, 64, 512};
  std::vector<Way> ways;
  for (const unsigned threads : {1U, 2U})
    for (std::uint32_t batch = 1; batch <= 16; ++batch)
      for (std::uint32_t c = 0; c < 4; ++c)
        if (whole || c == (batch + threads) % 4) ways.push_back({threads, batch, chunks[c], kv});
  return ways;
}

std::shared_ptr<const Model> mixed_model() {
  testing::TinyModelOptions o;
  o.d_model = 64, o.d_ff = 160, o.heads = 4, o.kv_heads = 2, o.layers = 3, o.context = 1024, o.vocab = 259;
  o.attention = DType::q4_1, o.feed_forward = DType::q4_0, o.embedding = DType::q8_0;
  o.logit_scale = 2.0F;
  return testing::tiny_model(o);
}

/// Which part of how many of the whole matrix is asked for; 0 of 1: none.
struct Part {
  std::size_t index = 0, of = 1;
};

Part part_of_full_run() {
  const char* said = std::getenv("FRUGAL_IDENTITY");
  if (said == nullptr) return {};
  const std::string_view text(said);
  if (text == "full") return {1, 1};
  Part part;
  char end = 0;
  if (std::sscanf(said, "full:%zu/%zu%c", &part.index, &part.of, &end) != 2 || part.index < 1 || part.index > part.of)
    FAIL("FRUGAL_IDENTITY is " << text << ", not full or full:1/4");
  return part;
}

/// The ways of the asked part, dealt out in turn, so that each part sees every chunk and thread count.
std::vector<Way> ways_of(KvType kv, const Part& part) {
  const std::vector<Way> all = matrix(kv, true);
  std::vector<Way> mine;
  for (std::size_t i = 0; i < all.size(); ++i)
    if ((i / 4 + 5 * (i % 4)) % part.of == part.index - 1) mine.push_back(all[i]);
  return mine;
}

}  // namespace

TEST_CASE(
    "A tiny model's 64 answers have the same bits alone and in batches of 2 to 16, chunks of 1, 7, 64 and 512, "
    "1 and 2 threads, cold and behind cached prefixes") {
  const auto model = mixed_model();
  const Part part = part_of_full_run();
  for (const KvType kv : {KvType::fp16, KvType::int8}) {
    const auto want = plainly(model, kv, requests);
    for (const Way& way : part.index == 0 ? matrix(kv, false) : ways_of(kv, part)) check(model, way, want);
  }
}

TEST_CASE("SmolLM2's answers have the same bits however the engine runs them") {
  const std::filesystem::path file = std::filesystem::path(FRUGAL_DEPS) / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(file)) SKIP("no model file");
  const auto model = load_model(file);
  const Part part = part_of_full_run();
  const auto want = plainly(model, KvType::fp16, part.index != 0 ? requests : 12);
  const std::vector<Way> corners{{2, 3, 1}, {1, 12, 7}, {2, 5, 64}};
  for (const Way& way : part.index != 0 ? ways_of(KvType::fp16, part) : corners) check(model, way, want);
}

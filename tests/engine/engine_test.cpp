#include <frugal/text/chat_template.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <chrono>

#include "engine/fixture.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

std::vector<Token> answer_of(Engine& engine, Request request) { return engine.run(std::move(request)).tokens; }

std::vector<Answer> run_all(Engine& engine, const std::vector<Request>& requests) {
  std::vector<Stream> streams;
  for (const Request& r : requests) streams.push_back(engine.submit(r));
  std::vector<Answer> answers;
  for (Stream& s : streams) answers.push_back(s.wait());
  return answers;
}

}  // namespace

TEST_CASE("a greedy answer is what the model alone would say") {
  Engine engine(options_with(scripted()));
  const std::vector<Token> prompt = prompt_of(40);
  const Answer answer = engine.run(request_for(prompt, 20));
  CHECK(answer.tokens == expected_answer(prompt, 20));
  CHECK(answer.finish.reason == FinishReason::length);
  CHECK(answer.finish.usage == Usage{.input = 40, .output = 20});
  CHECK(answer.finish.ledger.consistent());
  CHECK(answer.finish.ledger.total().rows == 59);  // the last token is never fed
  engine.check_integrity();
}

TEST_CASE("requests in one batch answer as they do alone, whatever the chunk and page size") {
  std::vector<Request> requests;
  for (std::uint32_t i = 0; i < 9; ++i) requests.push_back(request_for(prompt_of(5 + 23 * i, i), 10 + i));
  for (const std::uint32_t chunk : {1U, 7U, 64U}) {
    for (const std::uint32_t page : {8U, 16U, 32U}) {
      EngineOptions options = options_with(scripted());
      options.prefill_chunk = chunk;
      options.step_tokens = 96;
      options.page_tokens = page;
      Engine engine(std::move(options));
      const std::vector<Answer> answers = run_all(engine, requests);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        const auto& prompt = std::get<TokenPrompt>(requests[i].prompt).tokens;
        CHECK(answers[i].tokens == expected_answer(prompt, 10 + i));
        CHECK(answers[i].finish.ledger.consistent());
      }
      engine.check_integrity();
      CHECK(engine.stats().kv_bytes_leased == 0);
    }
  }
}

TEST_CASE("a prefix hit changes the work and not the answer") {
  EngineOptions options = options_with(scripted());
  options.prefix_cache = lru();
  Engine engine(std::move(options));
  std::vector<Token> prompt = prompt_of(200);
  const Answer cold = engine.run(request_for(prompt));
  prompt.resize(190);
  prompt.push_back(3);
  const Answer warm = engine.run(request_for(prompt));
  CHECK(warm.tokens == expected_answer(prompt, 12));
  CHECK(cold.finish.usage.cached_read == 0);
  CHECK(warm.finish.usage.cached_read == 190);  // whole pages, and the head of a partly shared one by copy
  CHECK(warm.finish.ledger.total().prompt_computed == 1);
  engine.check_integrity();
}

TEST_CASE("four requests at once with one prefix compute it once") {
  EngineOptions options = options_with(scripted());
  options.prefix_cache = greedy_dual_size();
  options.prefill_chunk = 32;
  Engine engine(std::move(options));
  std::vector<Request> requests;
  for (Token i = 0; i < 4; ++i) {
    std::vector<Token> prompt = prompt_of(160);
    prompt.push_back(i);
    requests.push_back(request_for(prompt));
  }
  std::uint64_t computed = 0;
  const std::vector<Answer> answers = run_all(engine, requests);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    CHECK(answers[i].tokens == expected_answer(std::get<TokenPrompt>(requests[i].prompt).tokens, 12));
    computed += answers[i].finish.ledger.total().prompt_computed;
  }
  CHECK(computed == 164);
}

TEST_CASE("tenants never share a prefix, and a request may keep out of the cache") {
  EngineOptions options = options_with(scripted());
  options.prefix_cache = lru();
  Engine engine(std::move(options));
  Request request = request_for(prompt_of(100));
  request.tenant = "a";
  engine.run(request);
  request.tenant = "b";
  CHECK(engine.run(request).finish.usage.cached_read == 0);
  CHECK(engine.run(request).finish.usage.cached_read == 96);  // whole pages only
  request.use_prefix_cache = false;
  CHECK(engine.run(request).finish.usage.cached_read == 0);
}

TEST_CASE("a prefix unused for longer than it is kept is gone, one in use stays") {
  ManualClock clock;
  EngineOptions options = options_with(scripted());
  options.clock = &clock;
  options.prefix_cache = limited(lru(), std::chrono::seconds(60));
  Engine engine(std::move(options));
  const auto cached = [&](std::uint32_t seed) {
    return engine.run(request_for(prompt_of(100, seed))).finish.usage.cached_read;
  };
  CHECK(cached(1) == 0);
  clock.advance(std::chrono::seconds(40));
  CHECK(cached(1) == 96);
  CHECK(cached(2) == 0);
  clock.advance(std::chrono::seconds(40));
  CHECK(cached(1) == 96);  // used 40 s ago
  clock.advance(std::chrono::seconds(61));
  CHECK(cached(1) == 0);
  CHECK(cached(2) == 0);
  engine.check_integrity();
}

TEST_CASE("two models of different shapes answer from one arena") {
  EngineOptions options = options_with(scripted());
  TinyModelOptions other;
  other.layers = 5;
  options.models.push_back({"other", tiny_model(other)});
  options.prefix_cache = lru();
  options.kv_bytes = std::size_t{4} << 20;
  Engine engine(std::move(options));
  std::vector<Request> requests;
  for (std::uint32_t i = 0; i < 8; ++i) {
    requests.push_back(request_for(prompt_of(60, i % 2)));
    requests.back().model = i % 2 == 0 ? "tiny" : "other";
  }
  const std::vector<Answer> answers = run_all(engine, requests);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    CHECK(answers[i].tokens == expected_answer(std::get<TokenPrompt>(requests[i].prompt).tokens, 12));
    CHECK(answers[i].finish.model == requests[i].model);
  }
  engine.check_integrity();
}

TEST_CASE("short pages make requests wait, preempt the youngest, and change no answer") {
  for (const bool cache : {false, true}) {
    EngineOptions options = options_with(scripted());
    options.kv_bytes = 24 * 4096;
    options.prefix_cache = cache ? lru() : nullptr;
    Engine engine(std::move(options));
    std::vector<Request> requests;
    for (std::uint32_t i = 0; i < 10; ++i) requests.push_back(request_for(prompt_of(70 + i, i), 90));
    const std::vector<Answer> answers = run_all(engine, requests);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      CHECK(answers[i].tokens == expected_answer(std::get<TokenPrompt>(requests[i].prompt).tokens, 90));
      CHECK(answers[i].finish.ledger.consistent());
      CHECK(answers[i].finish.usage.input == 70 + i);
    }
    CHECK(engine.stats().preemptions > 0);
    engine.check_integrity();
  }
}

TEST_CASE("an answer ends at the end token, at a stop text, at max_tokens and at a cap") {
  const std::vector<Token> prompt = prompt_of(30);
  const std::vector<Token> full = expected_answer(prompt, 40);
  SECTION("end token") {
    auto backend = scripted_by([&](std::span<const Token> tokens) {
      std::vector<float> logits = hashed_logits(tokens);
      if (tokens.size() == prompt.size() + 5) logits[eos] = 99.0F;
      return logits;
    });
    Engine engine(options_with(backend));
    const Answer answer = engine.run(request_for(prompt, 40));
    CHECK(answer.finish.reason == FinishReason::stop);
    CHECK(answer.tokens.size() == 6);
    CHECK(answer.tokens.back() == eos);
  }
  SECTION("stop text") {
    auto backend = scripted_by([&](std::span<const Token> tokens) {
      std::vector<float> logits(272, 0.0F);
      const std::string line = "hello world, and more";
      logits[static_cast<unsigned char>(line[(tokens.size() - prompt.size()) % line.size()])] = 9.0F;
      return logits;
    });
    Engine engine(options_with(backend));
    Request request = request_for(prompt, 40);
    request.stop = {"world"};
    const Answer answer = engine.run(request);
    CHECK(answer.text == "hello ");
    CHECK(answer.finish.reason == FinishReason::stop);
    CHECK(answer.finish.detail == "world");
  }
  SECTION("cap") {
    EngineOptions options = options_with(scripted());
    options.output = max_tokens(7);
    Engine engine(std::move(options));
    const Answer answer = engine.run(request_for(prompt, 40));
    CHECK(answer.finish.reason == FinishReason::capped);
    CHECK(answer.tokens == std::vector<Token>(full.begin(), full.begin() + 7));
  }
  SECTION("a loop is cut") {
    EngineOptions options = options_with(scripted_by([](std::span<const Token> tokens) {
      std::vector<float> logits(272, 0.0F);
      logits[65 + tokens.size() % 3] = 9.0F;
      return logits;
    }));
    options.output = repeat_guard();
    Engine engine(std::move(options));
    const Answer answer = engine.run(request_for(prompt, 200));
    CHECK(answer.finish.reason == FinishReason::capped);
    CHECK(answer.finish.detail == "repeat_guard");
    CHECK(answer.finish.usage.output == answer.tokens.size());
    CHECK(answer.tokens.size() < 60);
    CHECK(answer.finish.ledger.consistent());
  }
}

TEST_CASE("a deadline ends a request in prefill, in decode and in the queue, with what it has") {
  ManualClock clock;
  EngineOptions options = options_with(scripted());
  options.clock = &clock;
  options.prefill_chunk = 8;
  options.max_running = 1;
  Engine engine(std::move(options));
  Request request = request_for(prompt_of(64), 100);
  request.deadline = clock.now() + std::chrono::milliseconds(10);
  SECTION("in prefill") {
    Stream stream = engine.submit(request);
    engine.step();
    clock.advance(std::chrono::milliseconds(11));
    const Answer answer = stream.wait();
    CHECK(answer.finish.reason == FinishReason::deadline);
    CHECK(answer.tokens.empty());
    CHECK(answer.finish.usage.input == 8);
  }
  SECTION("in decode, and behind it in the queue") {
    Stream stream = engine.submit(request);
    Stream queued = engine.submit(request);
    for (int i = 0; i < 12; ++i) engine.step();
    clock.advance(std::chrono::milliseconds(11));
    const Answer answer = stream.wait();
    CHECK(answer.finish.reason == FinishReason::deadline);
    CHECK(answer.tokens.size() == 5);
    const Answer never = queued.wait();
    CHECK(never.finish.reason == FinishReason::deadline);
    CHECK(never.finish.usage == Usage{});
  }
  engine.check_integrity();
}

TEST_CASE("a cancelled request stops within one step, gives its pages back and leaves the others alone") {
  EngineOptions options = options_with(scripted());
  options.prefill_chunk = 8;
  Engine engine(std::move(options));
  const std::vector<Token> prompt = prompt_of(50);
  Stream doomed = engine.submit(request_for(prompt_of(60, 1), 100));
  Stream other = engine.submit(request_for(prompt));
  engine.step();
  doomed.cancel();
  CHECK(other.wait().tokens == expected_answer(prompt, 12));
  CHECK(doomed.wait().finish.reason == FinishReason::cancelled);
  { Stream dropped = engine.submit(request_for(prompt, 100)); }
  while (engine.step() == Progress::worked) {
  }
  CHECK(engine.stats().running == 0);
  CHECK(engine.stats().kv_bytes_leased == 0);
  engine.check_integrity();
}

TEST_CASE("a slow reader pauses its own sequence and nobody else's") {
  Engine engine(options_with(scripted()));
  Request slow = request_for(prompt_of(20), 50);
  slow.stream_capacity = 3;
  Stream stream = engine.submit(slow);
  const std::vector<Token> prompt = prompt_of(33, 2);
  CHECK(answer_of(engine, request_for(prompt, 30)) == expected_answer(prompt, 30));
  std::size_t ready = 0;
  while (stream.try_next()) ++ready;
  CHECK(ready == 3);
  CHECK(stream.wait().tokens.size() == 47);
}

TEST_CASE("a paused sequence gives its pages to one that lacks them") {
  EngineOptions options = options_with(scripted());
  options.kv_bytes = 12 * 4096;
  Engine engine(std::move(options));
  Request slow = request_for(prompt_of(100), 20);
  slow.stream_capacity = 1;
  Stream stream = engine.submit(slow);
  while (engine.step() == Progress::worked) {
  }
  const std::vector<Token> prompt = prompt_of(120, 2);
  CHECK(answer_of(engine, request_for(prompt)) == expected_answer(prompt, 12));
  CHECK(stream.wait().tokens == expected_answer(prompt_of(100), 20));
}

TEST_CASE("the same seed gives the same sampled answer, alone or beside others, and another seed another") {
  Request request = request_for(prompt_of(25), 30);
  request.sampling.temperature = 1.5F;
  request.sampling.seed = 42;
  Engine engine(options_with(scripted()));
  const std::vector<Token> alone = answer_of(engine, request);
  std::vector<Request> many(5, request);
  many[1].sampling.seed = 43;
  many[2].prompt = TokenPrompt{prompt_of(70, 9)};
  const std::vector<Answer> answers = run_all(engine, many);
  CHECK(answers[0].tokens == alone);
  CHECK(answers[4].tokens == alone);
  CHECK(answers[1].tokens != alone);
  CHECK(answers[0].finish.seed == 42);
  Request unseeded = request;
  unseeded.sampling.seed.reset();
  const Answer free = engine.run(unseeded);
  unseeded.sampling.seed = free.finish.seed;
  CHECK(answer_of(engine, unseeded) == free.tokens);
}

TEST_CASE("log-probabilities and margins come where they are asked for") {
  Engine engine(options_with(scripted()));
  Request request = request_for(prompt_of(10), 4);
  CHECK(engine.run(request).scores.empty());
  request.logprobs = 3;
  const Answer answer = engine.run(request);
  REQUIRE(answer.scores.size() == 4);
  for (const TokenScore& s : answer.scores) {
    CHECK(s.top.size() == 3);
    CHECK(s.top.front().token == s.token);
    CHECK(s.logprob == s.top.front().logprob);
    CHECK(s.margin >= 0.0F);
  }
}

TEST_CASE("what cannot be served is refused with a reason, and the engine goes on") {
  EngineOptions options = options_with(scripted());
  options.kv_bytes = 12 * 4096;
  Engine engine(std::move(options));
  const auto refused = [&](Request request) {
    const Answer answer = engine.run(std::move(request));
    CHECK(answer.finish.reason == FinishReason::refused);
    REQUIRE(answer.finish.error);
    return *answer.finish.error;
  };
  CHECK(refused(request_for({})).code() == Errc::invalid_argument);
  CHECK(refused(request_for({1, 999})).message().find("999") != std::string::npos);
  CHECK(refused(request_for(prompt_of(600))).code() == Errc::too_large);  // the context
  CHECK(refused(request_for(prompt_of(300))).code() == Errc::too_large);  // the arena
  Request request = request_for(prompt_of(5));
  request.model = "nobody";
  CHECK(refused(request).message().find("nobody") != std::string::npos);
  request.model = "tiny";
  request.sampling.top_p = 1.5F;
  CHECK(refused(request).message().find("top_p") != std::string::npos);
  request.sampling = {};
  request.stop = {""};
  CHECK(refused(request).code() == Errc::invalid_argument);
  const std::vector<Token> prompt = prompt_of(8);
  CHECK(answer_of(engine, request_for(prompt)) == expected_answer(prompt, 12));
}

TEST_CASE("a template's date is that of the engine's clock, and a clock without one refuses the request") {
  struct Dated final : Clock {
    TimePoint now() const override { return steady_clock().now(); }
    std::chrono::sys_seconds calendar_now() const override {
      if (broken) throw 42;
      return std::chrono::sys_days(std::chrono::year(2031) / 3 / 1);
    }
    bool broken = false;
  };
  Dated clock;
  ModelParts parts = tiny_parts();
  parts.chat_template = "{{ strftime_now('%Y-%m-%d') }}";
  std::vector<Token> seen;
  EngineOptions options = options_with(scripted_by([&](std::span<const Token> tokens) {
    seen.assign(tokens.begin(), tokens.end());
    return hashed_logits(tokens);
  }));
  options.models = {{"tiny", std::make_shared<const Model>(std::move(parts))}};
  options.clock = &clock;
  Engine engine(std::move(options));
  const Request request{.prompt = Chat{.messages = {{"user", "hi"}}}, .max_tokens = 1};
  CHECK(engine.run(request).finish.reason == FinishReason::length);
  CHECK(std::string(seen.begin(), seen.end()) == "2031-03-01");
  clock.broken = true;
  const Finish end = engine.run(request).finish;
  CHECK(end.reason == FinishReason::refused);
  CHECK(end.error->code() == Errc::policy);
}

TEST_CASE("tools that the model's template would drop refuse the request by name") {
  const std::string tool = R"([{"type": "function", "function": {"name": "move"}}])";
  for (const std::string_view words :
       {std::string_view("{% for m in messages %}{{ m.content }}{% endfor %}"), ChatTemplate::chatml()}) {
    ModelParts parts = tiny_parts();
    parts.chat_template = words;
    EngineOptions options = options_with(scripted());
    options.models = {{"tiny", std::make_shared<const Model>(std::move(parts))}};
    Engine engine(std::move(options));
    Request request{.prompt = Chat{.messages = {{"user", "hi"}}}, .max_tokens = 1};
    CHECK(engine.run(request).finish.reason == FinishReason::length);
    std::get<Chat>(request.prompt).tools = tool;
    const Finish end = engine.run(request).finish;
    CHECK(end.reason == FinishReason::refused);
    REQUIRE(end.error);
    CHECK(end.error->code() == Errc::unsupported);
    CHECK(mentions(*end.error, "does not look at tools"));
  }
}

TEST_CASE("a full queue says so instead of growing") {
  EngineOptions options = options_with(scripted());
  options.max_running = 1;
  options.max_waiting = 2;
  Engine engine(std::move(options));
  std::vector<Stream> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(engine.submit(request_for(prompt_of(10))));
  const Answer answer = engine.run(request_for(prompt_of(10)));
  CHECK(answer.finish.reason == FinishReason::refused);
  CHECK(answer.finish.error->code() == Errc::busy);
  for (Stream& s : streams) CHECK(s.wait().tokens == expected_answer(prompt_of(10), 12));
}

TEST_CASE("an answer stops where the context or the arena ends") {
  EngineOptions options = options_with(scripted());
  Engine engine(std::move(options));
  const Answer answer = engine.run(request_for(prompt_of(500), 0));
  CHECK(answer.finish.reason == FinishReason::length);
  CHECK(answer.tokens.size() == 12);
}

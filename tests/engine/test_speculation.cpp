#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <stdexcept>

#include "engine/speculation_fixture.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

std::vector<Answer> run_all(Engine& engine, const std::vector<Request>& requests) {
  std::vector<Stream> streams;
  for (const Request& r : requests) streams.push_back(engine.submit(r));
  while (engine.step()) engine.check_integrity();
  std::vector<Answer> answers;
  for (Stream& s : streams) answers.push_back(s.wait());
  return answers;
}

// Eight requests, each with another thing that looks at tokens one by one.
std::vector<Request> mixed_requests(bool seeded) {
  std::vector<Request> requests;
  for (std::uint32_t i = 0; i < 8; ++i) {
    Request r = request_for(prompt_of(37 + 9 * i, i), 48);
    r.stream_capacity = 64;
    if (seeded) r.sampling.temperature = 0.7F, r.sampling.seed = 1000 + i;
    requests.push_back(std::move(r));
  }
  requests[1].stop = {"ab", "gc", "kk", "d"};
  requests[2].type = "capped";
  requests[3].sampling.repetition_penalty = 1.2F;
  requests[3].sampling.presence_penalty = 0.4F;
  requests[3].sampling.frequency_penalty = 0.3F;
  requests[4].sampling.logit_bias = {{'c', 1.0F}, {eos, 34.0F}};
  requests[4].logprobs = 3;
  requests[5].sampling.top_k = 3;
  requests[5].scores = true;
  requests[6].type = "looping";
  requests[7].sampling.top_p = 0.8F;
  requests[7].sampling.min_p = 0.05F;
  requests[7].stop = {"never in it"};
  return requests;
}

EngineOptions mixed_options(std::shared_ptr<Backend> backend) {
  EngineOptions options = options_with(std::move(backend));
  options.kv_bytes = std::size_t{3} << 20;
  options.prefill_chunk = 48;
  options.prefix_cache = lru();
  options.output = first_of({for_type("capped", max_tokens(19)),
                             for_type("looping", repeat_guard({.max_period = 8, .repeats = 2, .min_tokens = 4}))});
  return options;
}

std::size_t pages_of_prompts(const std::vector<Request>& requests) {
  std::size_t pages = 0;
  for (const Request& r : requests) pages += std::get<TokenPrompt>(r.prompt).tokens.size() / 16 + 1;
  return pages;
}

std::vector<Answer> plain_answers(const std::vector<Request>& requests) {
  Engine engine(mixed_options(wordy_backend()));
  return run_all(engine, requests);
}

}  // namespace

TEST_CASE("no answer changes by speculation: drafters, prefix hits, preemption, batches, and all that reads tokens") {
  for (const bool seeded : {false, true}) {
    std::vector<Request> requests = mixed_requests(seeded);
    const std::vector<Answer> plain = plain_answers(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {  // right to begin with, then not
      requests[i].draft.tokens = plain[i].tokens;
      if (requests[i].draft.tokens.size() > 9) requests[i].draft.tokens[9] = 'z';
    }
    for (const SpeculationSetup& setup : speculation_setups()) {
      for (const char* state : {"cold", "prefix hit", "preempted"}) {
        for (const std::size_t batch : {std::size_t{1}, requests.size()}) {
          INFO(setup.name << ", " << state << ", batch " << batch << (seeded ? ", seeded" : ", greedy"));
          const bool preempted = std::string(state) == "preempted";
          std::uint64_t accepted = 0, preemptions = 0;
          for (std::size_t first = 0; first < requests.size(); first += batch) {
            const auto from = requests.begin() + static_cast<std::ptrdiff_t>(first);
            std::vector<Request> now(from, from + static_cast<std::ptrdiff_t>(batch));
            if (preempted) now.insert(now.begin(), request_for(prompt_of(150, 99), 150));  // older, and growing
            const auto backend = wordy_backend();
            EngineOptions options = mixed_options(backend);
            setup.apply(options);
            if (preempted) options.kv_bytes = (pages_of_prompts(now) + 2) * 4096;
            Engine engine(std::move(options));
            if (std::string(state) == "prefix hit") run_all(engine, now);
            const std::vector<Answer> answers = run_all(engine, now);
            for (std::size_t i = 0; i < batch; ++i) {
              const Answer& answer = answers[preempted ? i + 1 : i];
              check_same(answer, plain[first + i]);
              accepted += answer.finish.ledger.drafts().accepted;
            }
            preemptions += engine.stats().preemptions;
            CHECK(backend->counts().bad_reads == 0);
            CHECK(engine.stats().kv_bytes_leased == 0);
            engine.check_integrity();
          }
          CHECK((accepted > 0) == (setup.name != "nonsense"));
          CHECK((preemptions > 0) == preempted);
        }
      }
    }
  }
}

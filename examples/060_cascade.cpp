// 060: ask the cheap endpoint first, the dear one only where the cheap one was in doubt. Both attempts are in the
// ledger.
//   example_060_cascade SMALL.gguf [BIG.gguf]
// With one model given, it stands for both tiers: the escalation is real, the second opinion is not.
#include "pick_backend.hpp"

#include <frugal/endpoint/cascade.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>
#include <frugal/policy/cascade.hpp>

#include <cstdio>
#include <string>

namespace {

frugal::Answer ask(frugal::Endpoint& endpoint, std::string question) {
  frugal::Request request;
  request.prompt = frugal::Chat{.messages = {{.role = "system", .content = "Answer in one short sentence."},
                                             {.role = "user", .content = std::move(question)}}};
  request.max_tokens = 32;
  frugal::Answer answer = endpoint.run(std::move(request));
  if (answer.finish.error) throw *answer.finish.error;
  std::printf("%s\n", answer.text.c_str());
  for (const frugal::Attempt& attempt : answer.finish.ledger.attempts)
    std::printf("-- %s: %llu tokens, score %.3f, %s\n", attempt.endpoint.c_str(),
                static_cast<unsigned long long>(attempt.usage.output), attempt.score.value_or(0),
                attempt.accepted ? "accepted" : "thrown away");
  return answer;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s SMALL [BIG]\n", argv[0]), 2;
  try {
    const auto small = frugal::load_model(argv[1]);
    const auto big = argc > 2 ? frugal::load_model(argv[2]) : small;
    frugal::EngineOptions options;
    options.backend = pick_backend();
    options.models = {{.name = "small", .model = small}, {.name = "big", .model = big}};
    options.kv_bytes = std::size_t{256} << 20;  // one arena for both: no split to tune
    options.prefix_cache = frugal::greedy_dual_size();
    frugal::Engine engine(std::move(options));

    // [cascade]
    frugal::Cascade trusting({.tiers = {&engine.endpoint("small"), &engine.endpoint("big")},
                              .policy = frugal::margin_threshold(0.0)});  // any answer will do
    frugal::Cascade strict({.tiers = {&engine.endpoint("small"), &engine.endpoint("big")},
                            .policy = frugal::margin_threshold(1.0)});  // no doubt is small enough
    // [/cascade]

    const std::string question = "What is the capital of France?";
    const std::size_t once = ask(trusting, question).finish.ledger.attempts.size();
    const std::size_t twice = ask(strict, question).finish.ledger.attempts.size();
    return once == 1 && twice == 2 ? 0 : 1;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}

// 010: load a model, ask one question, print the answer and its account.
//   example_010_generate MODEL.gguf ["a question"]
#include "pick_backend.hpp"

#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s MODEL [QUESTION]\n", argv[0]), 2;
  try {
    // [generate]
    const auto model = frugal::load_model(argv[1]);

    frugal::EngineOptions options;
    options.backend = pick_backend();
    options.models = {{.name = "smollm2", .model = model}};
    frugal::Engine engine(std::move(options));

    frugal::Request request;
    request.prompt =
        frugal::Chat{.messages = {
                         {.role = "system", .content = "Answer in one short sentence."},
                         {.role = "user", .content = argc > 2 ? argv[2] : "What is the capital of France?"},
                     }};
    request.max_tokens = 48;

    const frugal::Answer answer = engine.run(std::move(request));
    std::printf("%s\n", answer.text.c_str());
    // [/generate]

    const frugal::Finish& finish = answer.finish;
    if (finish.error)
      throw *finish.error;  // a request that fails is a value; what to do with it is the caller's choice
    std::printf("\nfinish %s, %llu prompt tokens, %llu answer tokens, first token after %.1f ms\n",
                std::string(frugal::to_string(finish.reason)).c_str(),
                static_cast<unsigned long long>(finish.usage.input),
                static_cast<unsigned long long>(finish.usage.output), frugal::milliseconds(finish.timing.ttft));
    return answer.tokens.empty() ? 1 : 0;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}

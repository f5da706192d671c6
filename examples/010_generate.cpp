// 010: load a model, ask one question, print the answer and its account.
//   example_010_generate MODEL.gguf ["a question"]
#include "pick_backend.hpp"

#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>

#include <cstdio>
#include <optional>
#include <string>

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s MODEL [QUESTION]\n", argv[0]), 2;
  const std::string path = argv[1], question = argc > 2 ? argv[2] : "What is the capital of France?";
  try {
    const std::shared_ptr<frugal::Backend> backend = pick_backend();
    // [generate]
    frugal::EngineOptions options;
    options.backend = backend;  // e.g. frugal::cpu_backend({.threads = 4})
    options.models = {{.name = "smollm2", .model = frugal::load_model(path)}};
    options.prefix_cache = frugal::greedy_dual_size();  // null, the default = lever off
    options.output = frugal::repeat_guard();
    frugal::Engine engine(std::move(options));

    frugal::Request request;
    request.prompt = frugal::Chat{.messages = {{.role = "system", .content = "Answer in one short sentence."},
                                               {.role = "user", .content = question}}};
    request.max_tokens = 48;

    frugal::Stream stream = engine.submit(std::move(request));
    while (std::optional<frugal::Delta> delta = stream.next()) std::printf("%s", delta->text.c_str());

    const frugal::Finish finish = stream.finish().value();
    if (finish.error) throw *finish.error;  // a failed request is a value; what becomes of it is your choice
    std::printf("\n%.1f ms to the first token\n", frugal::milliseconds(finish.timing.ttft));
    // [/generate]
    std::printf(
        "finish %s, %llu prompt tokens, %llu answer tokens\n", std::string(frugal::to_string(finish.reason)).c_str(),
        static_cast<unsigned long long>(finish.usage.input), static_cast<unsigned long long>(finish.usage.output));
    return finish.usage.output == 0 ? 1 : 0;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}

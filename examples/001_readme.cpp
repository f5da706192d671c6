// 001: the program of the README, whole.
//   example_001_readme MODEL.gguf "a question"
// [program]
#include <frugal/cpu/backend.hpp>
#include <frugal/frugal.hpp>

#include <cstdio>
#include <optional>
#include <utility>

int main(int argc, char** argv) try {
  if (argc != 3) return std::fprintf(stderr, "usage: %s MODEL QUESTION\n", argv[0]), 2;
  frugal::EngineOptions options;
  options.backend = frugal::cpu_backend({.threads = 2});
  options.models = {{.name = "smollm2", .model = frugal::load_model(argv[1])}};
  options.prefix_cache = frugal::greedy_dual_size();  // null, the default = lever off
  options.output = frugal::repeat_guard();
  frugal::Engine engine(std::move(options));

  frugal::Request request;
  request.prompt = frugal::Chat{.messages = {{"system", "Answer in one short sentence."}, {"user", argv[2]}}};
  request.max_tokens = 48;
  frugal::Stream stream = engine.submit(std::move(request));
  while (std::optional<frugal::Delta> delta = stream.next()) std::printf("%s", delta->text.c_str());

  const frugal::Finish finish = stream.finish().value();
  if (finish.error) throw *finish.error;  // a failed request is a value; what becomes of it is your choice
  std::printf("\n%.1f ms to the first token\n", frugal::milliseconds(finish.timing.ttft));
} catch (const frugal::Error& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
// [/program]

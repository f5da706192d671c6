// A server of one's own: a model behind OpenAI's and Anthropic's APIs, with a meter, until standard input ends.
//   example_120_server MODEL [PORT]
// The same without a line of C++: frugal serve --model MODEL, or frugal serve serve.yaml (docs/serving.md).
#include "pick_backend.hpp"

#include <frugal/frugal.hpp>
#include <frugal/server/server.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc < 2) return std::fputs("usage: example_120_server MODEL [PORT]\n", stderr), 2;
  try {
    // [serve]
    const auto model = frugal::load_model(argv[1]);
    frugal::Engine engine(
        {.backend = pick_backend(), .models = {{"local", model}}, .prefix_cache = frugal::greedy_dual_size()});
    frugal::Meter meter;
    frugal::Metered metered(engine, meter);
    frugal::Server server({.port = static_cast<std::uint16_t>(argc > 2 ? std::atoi(argv[2]) : 0),
                           .models = {{"local", &metered, "", model}},
                           .meter = &meter});
    // [/serve]
    std::printf("listening on http://127.0.0.1:%d, until standard input ends\n", server.port());
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    // [drain]
    server.drain();  // requests that run are finished, new ones refused
    server.wait();
    // [/drain]
    std::printf("answered %llu requests\n", static_cast<unsigned long long>(server.stats().requests));
  } catch (const frugal::Error& error) {
    return std::fprintf(stderr, "%s\n", error.what()), 1;
  }
}

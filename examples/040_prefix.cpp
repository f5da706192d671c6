// 040: two questions about one document. The second finds the document's keys and values in the prefix cache.
//   example_040_prefix MODEL.gguf
#include "pick_backend.hpp"

#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>
#include <frugal/policy/prefix_cache.hpp>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

namespace {

frugal::Answer ask(frugal::Engine& engine, const std::string& document, std::string question, std::string tenant = "") {
  frugal::Request request;
  // What requests share goes first: a prefix ends at the first token that differs.
  request.prompt = frugal::Chat{
      .messages = {{.role = "system", .content = document}, {.role = "user", .content = std::move(question)}}};
  request.max_tokens = 24;
  request.tenant = std::move(tenant);
  frugal::Answer answer = engine.run(std::move(request));
  if (answer.finish.error) throw *answer.finish.error;
  std::printf("%s\n-- prompt %llu tokens, reused %llu, first token after %.1f ms\n\n", answer.text.c_str(),
              static_cast<unsigned long long>(answer.finish.usage.input),
              static_cast<unsigned long long>(answer.finish.usage.cached_read),
              frugal::milliseconds(answer.finish.timing.ttft));
  return answer;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s MODEL\n", argv[0]), 2;
  try {
    std::ostringstream document;
    document << std::ifstream(FRUGAL_EXAMPLE_DATA "/support_policy.txt").rdbuf();

    // [prefix]
    frugal::EngineOptions options;
    options.backend = pick_backend();
    options.models = {{.name = "smollm2", .model = frugal::load_model(argv[1])}};
    options.prefix_cache = frugal::greedy_dual_size();  // null = the lever is off
    frugal::Engine engine(std::move(options));
    // [/prefix]

    const frugal::Answer cold = ask(engine, document.str(), "How much is express delivery?");
    const frugal::Answer warm = ask(engine, document.str(), "How long is a gift card valid?");
    // Tenants never share a page, so the time to the first token tells nobody what others have asked.
    const frugal::Answer stranger = ask(engine, document.str(), "How long is a gift card valid?", "another tenant");

    const bool as_promised = cold.finish.usage.cached_read == 0 && warm.finish.usage.cached_read > 800 &&
                             stranger.finish.usage.cached_read == 0 && stranger.tokens == warm.tokens;
    return as_promised ? 0 : 1;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}

// 110: a local model first, one behind an API where the local one was in doubt, and the bill split by tier.
//   example_110_remote MODEL.gguf [URL NAME [KEY_FILE]]
// Without a URL the example serves the model itself and asks that, so the remote tier is real and the second opinion is not.
#include "pick_backend.hpp"

#include <frugal/frugal.hpp>
#include <frugal/http/http_endpoint.hpp>
#include <frugal/server/server.hpp>

#include <cstdio>
#include <fstream>
#include <string>

namespace {

void show(const frugal::Answer& answer, const frugal::PriceBook& prices) {
  std::printf("%s\n", answer.text.c_str());
  for (const frugal::Attempt& attempt : answer.finish.ledger.attempts) {
    const auto cost = prices.cost(attempt.model, attempt.usage);
    std::printf("-- %s: %llu + %llu tokens, %s, %s\n", attempt.endpoint.c_str(),
                static_cast<unsigned long long>(attempt.usage.input),
                static_cast<unsigned long long>(attempt.usage.output), attempt.accepted ? "accepted" : "thrown away",
                cost ? (std::to_string(cost->total()) + " dollars").c_str() : "no price known");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s MODEL [URL NAME [KEY_FILE]]\n", argv[0]), 2;
  try {
    const auto model = frugal::load_model(argv[1]);
    frugal::Engine engine({.backend = pick_backend(), .models = {{"small", model}}, .own_thread = true});
    frugal::Server server({.port = 0, .models = {{"far", &engine, "", model}}});

    // [remote]
    frugal::HttpOptions options;
    options.name = "remote";
    options.url = argc > 3 ? argv[2] : "http://127.0.0.1:" + std::to_string(server.port()) + "/v1";
    options.model = argc > 3 ? argv[3] : "far";
    if (argc > 4) {
      std::string key;
      std::ifstream(argv[4]) >> key;
      options.key = [key] { return key; };  // asked for each try, so that keys can change
    }
    frugal::HttpEndpoint remote(options);
    frugal::Cascade cascade({.tiers = {&engine, &remote}, .policy = frugal::margin_threshold(0.9)});
    // [/remote]

    const frugal::PriceBook prices = frugal::PriceBook::built_in()
                                         .with("small", {.input = 0, .output = 0})
                                         .with("far", {.input = 0.15, .output = 0.6});
    for (const char* question : {"What is two plus two?", "Why did the harbour master write to the ambassador?"}) {
      frugal::Request request;
      request.prompt = frugal::Chat{.messages = {{.role = "user", .content = question}}};
      request.max_tokens = 24;
      const frugal::Answer answer = cascade.run(std::move(request));
      if (answer.finish.error) throw *answer.finish.error;
      show(answer, prices);
    }
  } catch (const frugal::Error& error) {
    return std::fprintf(stderr, "%s\n", error.what()), 1;
  }
}

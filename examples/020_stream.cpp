// 020: read an answer while it is written, in both forms: pull (a stream) and push (callbacks), two requests in one
// batch.
//   example_020_stream MODEL.gguf
#include "pick_backend.hpp"

#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>

#include <cstdio>
#include <optional>
#include <string>

namespace {

frugal::Request ask(std::string question) {
  frugal::Request request;
  request.prompt = frugal::Chat{.messages = {{.role = "user", .content = std::move(question)}}};
  request.max_tokens = 40;
  return request;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s MODEL\n", argv[0]), 2;
  try {
    frugal::EngineOptions options;
    options.backend = pick_backend();
    options.models = {{.name = "smollm2", .model = frugal::load_model(argv[1])}};
    frugal::Engine engine(std::move(options));

    // [push]
    std::string pushed;
    std::optional<frugal::Finish> finished;
    engine.submit(
        ask("Name three rivers."), [&](frugal::Delta delta) { pushed += delta.text; },
        [&](frugal::Finish finish) { finished = std::move(finish); });
    // [/push]

    // [pull]
    frugal::Stream stream = engine.submit(ask("Write one sentence about the sea."));
    while (std::optional<frugal::Delta> delta =
               stream.next()) {  // lends this thread to the engine: both answers advance
      std::fputs(delta->text.c_str(), stdout);
      std::fflush(stdout);
    }
    // [/pull]
    std::printf("\n-- %s\n\n", std::string(frugal::to_string(stream.finish()->reason)).c_str());

    engine.drive([&] { return finished.has_value(); });
    std::printf("%s\n-- %s\n\n", pushed.c_str(), std::string(frugal::to_string(finished->reason)).c_str());

    // [cancel]
    frugal::Stream unwanted = engine.submit(ask("Tell me a very long story."));
    for (int piece = 0; piece < 5 && unwanted.next(); ++piece) continue;
    unwanted.cancel();  // from any thread; the pages are free again within one step
    const frugal::FinishReason reason = unwanted.wait().finish.reason;
    // [/cancel]
    std::printf("after five pieces: %s\n", std::string(frugal::to_string(reason)).c_str());
    return reason == frugal::FinishReason::cancelled && !pushed.empty() ? 0 : 1;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}

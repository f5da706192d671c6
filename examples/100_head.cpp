// 100: train a head, a small task model on the first layers of a language model, and put it before the big model.
//   example_100_head MODEL.gguf LABELLED.jsonl HEAD.safetensors
#include "pick_backend.hpp"

#include <frugal/endpoint/cascade.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/head/head_endpoint.hpp>
#include <frugal/head/train.hpp>
#include <frugal/model/model.hpp>
#include <frugal/policy/cascade.hpp>

#include <cstdio>
#include <fstream>

int main(int argc, char** argv) {
  if (argc < 4) return std::fprintf(stderr, "usage: %s MODEL LABELLED HEAD\n", argv[0]), 2;
  try {
    const auto model = frugal::load_model(argv[1]);

    // [train]
    const std::vector<frugal::HeadExample> examples = frugal::read_head_examples(argv[2]);
    const auto head = std::make_shared<const frugal::Head>(
        frugal::train_head(model, pick_backend(), examples, {.layers = {4, 8}, .test_share = 0.25}));
    std::ofstream(argv[3], std::ios::binary) << head->to_bytes();
    // [/train]
    const frugal::HeadMetrics& test = head->parts().origin.test;
    std::printf("%u layers, %llu examples unseen, %.0f %% right (%.0f %% by the most frequent label)\n",
                head->parts().layers, static_cast<unsigned long long>(test.n), 100 * test.accuracy,
                100 * test.majority);

    // [serve]
    frugal::HeadEndpoint small({.head = head, .model = model, .backend = pick_backend()});
    frugal::Engine big({.backend = pick_backend(), .models = {{"smollm2", model}}, .kv_bytes = std::size_t{64} << 20});
    frugal::Cascade cascade({.tiers = {&small, &big}, .policy = frugal::margin_threshold(0.5)});
    // [/serve]
    frugal::Request request;
    request.prompt = frugal::Chat{.messages = {{.role = "user", .content = "The dog chased the cat."}}};
    request.max_tokens = 8;
    const frugal::Answer answer = cascade.run(request);
    std::printf("%s (by %s)\n", answer.text.c_str(), answer.finish.ledger.attempts.back().endpoint.c_str());
    return test.accuracy > test.majority + 0.1 && answer.finish.reason != frugal::FinishReason::error ? 0 : 1;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}

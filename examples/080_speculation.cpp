// 080: the same answer in fewer passes. The prompt holds a text that the answer repeats, so what stood before is a good
// guess of what comes; the model checks several guesses in one pass.
//   example_080_speculation MODEL.gguf
#include "pick_backend.hpp"

#include <frugal/draft/drafters.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>
#include <frugal/policy/speculation.hpp>

#include <cstdio>
#include <string>

namespace {

frugal::Request list_again() {
  std::string list;
  for (int i = 1; i <= 12; ++i)
    list += "item " + std::to_string(i) + ": order " + std::to_string(7919 * i % 1000) + ", shipped\n";
  frugal::Request request;
  request.prompt = frugal::RawPrompt{.text = "First copy:\n" + list + "\nSecond copy:\n" + list + "\nThird copy:\n"};
  request.max_tokens = 100;
  return request;
}

struct Run {
  frugal::Answer answer;
  frugal::TokenLedger tokens;
};

Run run(const std::string& model, bool drafts) {
  frugal::EngineOptions options;
  options.backend = pick_backend();
  options.models = {{.name = "smollm2", .model = frugal::load_model(model)}};
  if (drafts) {
    // [options]
    options.speculation = frugal::adaptive_drafts();  // null = the lever is off
    options.drafters = {frugal::suffix_drafter()};    // what stood before in prompt, answer and past answers
    // [/options]
  }
  frugal::Engine engine(std::move(options));
  Run result{.answer = engine.run(list_again()), .tokens = {}};
  if (result.answer.finish.error) throw *result.answer.finish.error;
  result.tokens = result.answer.finish.ledger.total();
  const frugal::DraftLedger spent = result.answer.finish.ledger.drafts();
  std::printf(
      "%-8s %3zu tokens in %3llu passes; drafted %llu, kept %llu; %.2f ms a token\n",
      drafts ? "drafts:" : "plain:", result.answer.tokens.size(), static_cast<unsigned long long>(result.tokens.passes),
      static_cast<unsigned long long>(spent.drafted), static_cast<unsigned long long>(spent.accepted),
      frugal::milliseconds(result.answer.finish.timing.tpot(result.answer.tokens.size()).value_or(frugal::Duration{})));
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s MODEL\n", argv[0]), 2;
  try {
    const Run plain = run(argv[1], false), drafted = run(argv[1], true);
    std::printf("\n%s\n", drafted.answer.text.c_str());
    const bool as_promised =
        plain.answer.tokens == drafted.answer.tokens && 2 * drafted.tokens.passes < plain.tokens.passes;
    return as_promised ? 0 : 1;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}

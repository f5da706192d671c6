// On real weights: the golden top-5 log-probabilities of SmolLM2's first answer token, computed in fp32 with other
// code.
#include "cpu/support.hpp"

#include <frugal/cpu/backend.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_adapters.hpp>

#include <cmath>
#include <filesystem>
#include <vector>

using namespace frugal;

// One position of one prompt: 8-bit activations move a log-probability by about 0.1 (one standard deviation), 16-bit
// ones by the rounding of the golden numbers and of fp16 keys.
TEST_CASE(
    "SmolLM2's first answer token has the golden log-probabilities: within 0.02 with fine activations, else 0.35") {
  const std::filesystem::path file = std::filesystem::path(FRUGAL_DEPS) / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(file)) SKIP("no model file");
  // "What is the capital of France?" under the default system prompt
  const std::vector<Token> prompt = {1,   9690, 198, 2683, 359,   253,  5356, 5646, 11173, 3365, 3511, 308,  34519,
                                     28,  7018, 411, 407,  19712, 8182, 2,    198,  1,     4093, 198,  1780, 314,
                                     260, 3575, 282, 4649, 47,    2,    198,  1,    520,   9531, 198};
  const auto model = load_model(file);
  CpuOptions options;
  options.threads = 2;
  const auto [kv, fine, limit] = GENERATE(Catch::Generators::table<KvType, bool, double>(
      {{KvType::fp16, true, 0.02}, {KvType::int8, true, 0.2}, {KvType::fp16, false, 0.35}}));
  options.kv = kv, options.fine = fine;
  testing::Rig rig(cpu_backend(options), model);
  const auto logits = rig.logits(prompt);
  const std::span<const float> last = std::span(logits).subspan((prompt.size() - 1) * rig.vocab());
  double total = 0.0;
  for (const float x : last) total += std::exp(static_cast<double>(x));
  const auto logprob = [&](const char* text) {
    const auto ids = model->tokenizer()->encode(text);
    REQUIRE(ids.size() == 1);
    return static_cast<double>(last[static_cast<std::size_t>(ids[0])]) - std::log(total);
  };
  const std::pair<const char*, double> golden[] = {
      {"The", -1.883}, {"L", -1.965}, {"La", -2.266}, {"Al", -2.806}, {"Le", -2.893}};
  for (const auto& [text, want] : golden) {
    CAPTURE(text, logprob(text), want);
    CHECK(std::fabs(logprob(text) - want) < limit);
  }
}

// What tests of byte identity share: an answer as bits, the real model, its tokens, and whether the whole matrix runs.
#pragma once

#include <frugal/endpoint/endpoint.hpp>
#include <frugal/model/model.hpp>

#include <catch2/catch_test_macros.hpp>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::testing {

/// Everything a reader learns of an answer, as bits.
using Bits = std::vector<std::uint32_t>;

inline Bits bits_of(const Answer& answer) {
  Bits bits;
  for (const Token t : answer.tokens) bits.push_back(static_cast<std::uint32_t>(t));
  for (const TokenScore& s : answer.scores) {
    bits.insert(bits.end(), {static_cast<std::uint32_t>(s.token), std::bit_cast<std::uint32_t>(s.logprob),
                             std::bit_cast<std::uint32_t>(s.margin)});
    for (const TokenLogprob& t : s.top)
      bits.insert(bits.end(), {static_cast<std::uint32_t>(t.token), std::bit_cast<std::uint32_t>(t.logprob)});
  }
  for (const char c : answer.text) bits.push_back(static_cast<unsigned char>(c));
  bits.push_back(static_cast<std::uint32_t>(answer.finish.reason));
  return bits;
}

/// FRUGAL_IDENTITY=full in the environment.
inline bool full_run() {
  const char* said = std::getenv("FRUGAL_IDENTITY");
  return said != nullptr && std::string_view(said) == "full";
}

/// SmolLM2, or the test is skipped.
inline std::shared_ptr<const Model> smollm2() {
  const std::filesystem::path file = std::filesystem::path(FRUGAL_DEPS) / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(file)) SKIP("no model file");
  return load_model(file);
}

/// Tokens of real text, more than 800 with a byte-level vocabulary and a large one alike.
inline std::vector<Token> tokens_of_text(const Model& model) {
  std::ifstream file(FRUGAL_TEST_DATA "/../examples/data/support_policy.txt");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<Token> ids = model.tokenizer()->encode(text);
  REQUIRE(ids.size() > 800);
  return ids;
}

}  // namespace frugal::testing

// What engine tests share: a scripted model whose next token is a fixed function of all tokens before it, so that any
// wrong page, position or prefix changes the answer, and the answer itself can be computed without an engine.
#pragma once

#include <frugal/engine/engine.hpp>
#include <frugal/policy/output.hpp>
#include <frugal/policy/prefix_cache.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "support/faulty_backend.hpp"
#include "support/manual_clock.hpp"
#include "support/scripted_backend.hpp"
#include "support/tiny_model.hpp"

namespace frugal::testing {

inline constexpr Token eos = 257;

/// Logits that depend on every token so far; eos only where the script says so.
inline std::vector<float> hashed_logits(std::span<const Token> tokens, std::uint64_t salt = 0) {
  std::uint64_t h = 1469598103934665603ULL ^ salt;
  for (const Token t : tokens) h = (h ^ static_cast<std::uint64_t>(t + 1)) * 1099511628211ULL;
  std::vector<float> logits(272);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    h ^= h >> 29, h *= 0xbf58476d1ce4e5b9ULL, h ^= h >> 32;
    logits[i] = static_cast<float>(h % 10007) / 1000.0F;
  }
  for (std::size_t special = 256; special < logits.size(); ++special) logits[special] = -50.0F;
  return logits;
}

/// The greedy answer, without an engine.
inline std::vector<Token> expected_answer(std::vector<Token> tokens, std::size_t n) {
  std::vector<Token> answer;
  while (answer.size() < n) {
    const std::vector<float> logits = hashed_logits(tokens);
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    answer.push_back(static_cast<Token>(best));
    tokens.push_back(static_cast<Token>(best));
  }
  return answer;
}

inline std::vector<Token> prompt_of(std::size_t n, std::uint32_t seed = 0) {
  std::vector<Token> tokens(n);
  for (std::size_t i = 0; i < n; ++i) tokens[i] = static_cast<Token>((i * 7 + seed * 31 + i * i % 13) % 256);
  return tokens;
}

inline Request request_for(std::vector<Token> prompt, std::uint32_t max_tokens = 12) {
  Request request{TokenPrompt{std::move(prompt)}};
  request.max_tokens = max_tokens;
  return request;
}

inline std::shared_ptr<ScriptedBackend> scripted_by(std::function<std::vector<float>(std::span<const Token>)> script) {
  return std::make_shared<ScriptedBackend>([script](ModelId, std::span<const Token> tokens, std::span<float> logits) {
    const std::vector<float> wanted = script(tokens);
    std::copy(wanted.begin(), wanted.end(), logits.begin());
  });
}

inline std::shared_ptr<ScriptedBackend> scripted() {
  return scripted_by([](std::span<const Token> tokens) { return hashed_logits(tokens); });
}

inline EngineOptions options_with(std::shared_ptr<Backend> backend) {
  EngineOptions options;
  options.backend = std::move(backend);
  options.models.push_back({"tiny", tiny_model()});
  options.kv_bytes = std::size_t{2} << 20;
  options.page_tokens = 16;
  return options;
}

}  // namespace frugal::testing

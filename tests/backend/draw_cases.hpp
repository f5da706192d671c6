// Rows of logits of every kind with settings of every kind, for tests of what draws from them.
#pragma once

#include <frugal/backend/batch.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace frugal::testing {

/// A row and how it is to be drawn from.
struct DrawCase {
  std::vector<float> logits;
  std::vector<std::uint32_t> mask{};
  std::vector<Token> prompt{}, output{};
  Sampling sampling{};
  std::uint32_t tokens = 0;
  std::uint64_t seed = 0;

  DrawSpec spec() const {
    return {.sampling = &sampling,
            .prompt = prompt,
            .output = output,
            .mask = mask,
            .tokens = tokens,
            .seed = seed,
            .position = static_cast<std::uint32_t>(seed % 97)};
  }
};

/// Short and long rows, ties, NaN and infinities; each filter, penalty and mask in some of them.
inline DrawCase random_draw_case(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto u = [&] { return std::uniform_real_distribution<float>(0.0F, 1.0F)(random); };
  constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  DrawCase c;
  c.seed = seed;
  const std::size_t n = std::vector<std::size_t>{1, 7, 40, 300, 1024, 2500, 5000}[random() % 7];
  std::normal_distribution<float> normal(0.0F, 0.3F + 6.0F * u());
  const float grain = random() % 3 == 0 ? 0.5F : 0.0F;  // ties
  c.logits.resize(n);
  for (float& x : c.logits) {
    x = normal(random);
    if (grain > 0) x = std::round(x / grain) * grain;
    if (random() % 200 == 0) x = std::vector<float>{nan, -inf, -0.0F}[random() % 3];
  }
  if (random() % 5 == 0) std::fill(c.logits.begin(), c.logits.end(), 0.25F);  // nothing but ties
  c.logits[random() % n] = 1.0F;
  if (random() % 12 == 0) c.logits[random() % n] = inf;
  Sampling& s = c.sampling;
  s.temperature = random() % 6 == 0 ? 0.001F : 0.05F + 2.5F * u();
  if (random() % 2 == 0) s.top_k = 1 + static_cast<std::int32_t>(random() % (random() % 2 == 0 ? 40 : n + 10));
  if (random() % 2 == 0) s.top_p = random() % 8 == 0 ? 0.99999F : u();
  if (random() % 2 == 0) s.min_p = random() % 5 == 0 ? 1.0F : u() * u() * u();
  if (random() % 3 == 0) {
    c.mask.resize((n + 31) / 32);
    for (auto& word : c.mask) word = static_cast<std::uint32_t>(random() & random());
    if (random() % 4 == 0) c.mask.resize((c.mask.size() + 1) / 2);
  }
  if (random() % 3 == 0) {
    s.repetition_penalty = 1.3F, s.presence_penalty = 0.4F, s.frequency_penalty = 0.2F;
    s.logit_bias = {{static_cast<Token>(random() % n), 3.0F}, {static_cast<Token>(random() % n), -inf}};
    for (int i = 0; i < 9; ++i) c.output.push_back(static_cast<Token>(random() % n));
    for (int i = 0; i < 9; ++i) c.prompt.push_back(static_cast<Token>(random() % n));
  }
  if (random() % 4 == 0) {
    c.tokens = static_cast<std::uint32_t>(n);
    for (int i = 0; i < 5; ++i) c.logits.push_back(i % 2 == 0 ? 99.0F : nan);
  }
  return c;
}

}  // namespace frugal::testing

// A batch in halves gives every output that the whole batch gives, in its place.
#include "torch/halved.hpp"

#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <vector>

namespace frugal::aten {
namespace {

constexpr std::uint32_t d_model = 3, vocab = 5;

/// A batch whose outputs are known: each is a function of the row's token and position.
struct Made {
  explicit Made(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const std::size_t count = 1 + random() % 5;
    tokens.resize(count), from.resize(count), logits.resize(count), hidden.resize(count), specs.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t rows = 1 + random() % 9;
      for (std::size_t r = 0; r < rows; ++r) tokens[i].push_back(static_cast<Token>(random() % 1000));
      if (random() % 2 == 0) from[i].resize(rows);
      for (std::size_t r = 0; r < from[i].size(); ++r) from[i][r].draw = static_cast<std::uint32_t>(tokens[i][r]);
      specs[i].resize(random() % (rows + 1));
      logits[i].resize(random() % (rows + 1) * vocab);
      hidden[i].resize(random() % (rows + 1) * d_model);
      draws += specs[i].size();
    }
    drawn.resize(draws);
    for (std::size_t i = 0; i < count; ++i)
      segments.push_back({.tokens = tokens[i],
                          .start = static_cast<std::uint32_t>(random() % 100),
                          .pages = {},
                          .draws = specs[i],
                          .logits = logits[i],
                          .from = from[i],
                          .hidden = hidden[i]});
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t k = 0; k < specs[i].size(); ++k)
        specs[i][k].position = segments[i].start + static_cast<std::uint32_t>(tokens[i].size() - specs[i].size() + k);
  }
  Batch batch() { return {.model = ModelId{0}, .segments = segments, .drawn = drawn}; }

  std::vector<std::vector<Token>> tokens;
  std::vector<std::vector<DrawRef>> from;
  std::vector<std::vector<float>> logits, hidden;
  std::vector<std::vector<DrawSpec>> specs;
  std::size_t draws = 0;
  std::vector<Segment> segments;
  std::vector<TokenScore> drawn;
};

std::size_t rows_of(const Batch& batch) {
  std::size_t rows = 0;
  for (const Segment& s : batch.segments) rows += s.tokens.size();
  return rows;
}

/// Fills every output by row, and fails where spans and rows do not belong together.
void fill(const Batch& batch) {
  std::size_t next = 0;
  for (const Segment& s : batch.segments) {
    const std::size_t rows = s.tokens.size(), copied = s.logits.size() / vocab, states = s.hidden.size() / d_model;
    REQUIRE(s.draws.size() <= rows);
    REQUIRE(copied <= rows);
    REQUIRE(states <= rows);
    REQUIRE((s.from.empty() || s.from.size() == rows));
    for (std::size_t r = 0; r < rows; ++r) {
      const auto value = static_cast<float>(s.tokens[r]) * 128.0F + static_cast<float>(s.start + r);
      if (!s.from.empty()) REQUIRE(s.from[r].draw == static_cast<std::uint32_t>(s.tokens[r]));
      if (r + copied >= rows) s.logits[(r + copied - rows) * vocab] = value;
      if (r + states >= rows) s.hidden[(r + states - rows) * d_model] = value;
      if (r + s.draws.size() < rows) continue;
      REQUIRE(s.draws[r + s.draws.size() - rows].position == s.start + r);
      batch.drawn[next++].logprob = value;
    }
  }
  REQUIRE(next == batch.drawn.size());
}

TEST_CASE("a batch in halves gives what the whole gives, over random batches and limits") {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    CAPTURE(seed);
    Made whole(seed), parts(seed);
    fill(whole.batch());
    const std::size_t limit = 1 + seed % 7;
    std::size_t passes = 0, rows = 0;
    run_or_halve(parts.batch(), d_model, vocab, [&](const Batch& b) {
      if (rows_of(b) > limit) throw Error(Errc::out_of_memory, "full");
      ++passes, rows += rows_of(b);
      fill(b);
    });
    REQUIRE(rows == rows_of(whole.batch()));
    REQUIRE(passes >= (rows + limit - 1) / limit);
    REQUIRE(parts.logits == whole.logits);
    REQUIRE(parts.hidden == whole.hidden);
    for (std::size_t i = 0; i < whole.draws; ++i) REQUIRE(parts.drawn[i].logprob == whole.drawn[i].logprob);
  }
}

TEST_CASE("single rows that do not fit, and other failures, are thrown on") {
  Made made(1);
  std::size_t passes = 0;
  const auto code = [&](Errc thrown) {
    passes = 0;
    try {
      run_or_halve(made.batch(), d_model, vocab, [&](const Batch&) {
        ++passes;
        throw Error(thrown, "no");
      });
    } catch (const Error& e) {
      return e.code();
    }
    return Errc::internal;
  };
  CHECK(code(Errc::out_of_memory) == Errc::out_of_memory);
  CHECK(passes > 1);
  CHECK(code(Errc::device) == Errc::device);
  CHECK(passes == 1);
}

}  // namespace
}  // namespace frugal::aten

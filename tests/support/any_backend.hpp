// What every backend must keep, as functions over a Rig: called for the reference and for torch, each with its own
// tolerance (0 = bit for bit).
#pragma once

#include <frugal/backend/sampling.hpp>

#include <catch2/catch_test_macros.hpp>

#include <functional>

#include "support/rig.hpp"

namespace frugal::testing {

using MakeBackend = std::function<std::unique_ptr<Backend>()>;
using Models = std::vector<std::shared_ptr<const Model>>;

inline void prefill_may_be_chunked(const MakeBackend& make, const Models& models, float tolerance) {
  const auto tokens = some_tokens(45);
  Rig whole(make(), models, 16);
  const Rows expected = whole.run(tokens);
  for (const std::uint32_t page_tokens : {8U, 16U}) {
    for (const std::size_t chunk : {1U, 7U, 16U, 44U}) {
      Rig rig(make(), models, page_tokens);
      const auto pages = rig.pages(tokens.size());
      Rows got;
      for (std::size_t at = 0; at < tokens.size(); at += chunk) {
        const auto part = std::span(tokens).subspan(at, std::min(chunk, tokens.size() - at));
        for (auto& row : rig.run(part, static_cast<std::uint32_t>(at), pages)) got.push_back(std::move(row));
      }
      INFO("pages of " << page_tokens << ", chunks of " << chunk);
      CHECK(distance(got, expected) <= tolerance);
    }
  }
}

inline void a_batch_equals_its_rows_alone(const MakeBackend& make, const Models& models, float tolerance) {
  const std::uint32_t vocab = models[0]->spec().vocab;
  Rig alone(make(), models), rig(make(), models);
  const std::vector<std::vector<Token>> prompts{some_tokens(20, 1), some_tokens(1, 2), some_tokens(33, 3)};
  std::vector<std::vector<Granule>> tables;
  for (const auto& p : prompts) tables.push_back(rig.pages(p.size()));
  rig.run(std::span(prompts[2]).first(30), 0, tables[2]);  // the third comes as a verify chain of 3 rows
  std::vector<std::vector<float>> logits;
  for (const std::size_t rows : {1U, 1U, 3U}) logits.emplace_back(rows * vocab);
  const std::vector<Segment> segments{
      {.tokens = prompts[0], .pages = tables[0], .logits = logits[0]},
      {.tokens = prompts[1], .pages = tables[1], .logits = logits[1]},
      {.tokens = std::span(prompts[2]).last(3), .start = 30, .pages = tables[2], .logits = logits[2]}};
  rig.backend->forward({.model = ModelId{0}, .segments = segments, .drawn = {}});
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const Rows got = Rig::split(logits[i], vocab);
    CHECK(distance(got, tail(alone.run(prompts[i]), got.size())) <= tolerance);
  }
}

inline void pages_may_be_shared_and_copied(const MakeBackend& make, const Models& models, float tolerance) {
  const auto tokens = some_tokens(40);
  Rig rig(make(), models, 16);
  const Rows expected = rig.run(tokens);
  const auto first = rig.pages(40);
  rig.run(std::span(tokens).first(36), 0, first);
  auto second = rig.pages(40);
  second[0] = first[0], second[1] = first[1];  // 32 tokens shared, 4 copied
  const PageCopy copy{.model = ModelId{0}, .from = first[2], .to = second[2], .tokens = 4};
  rig.backend->copy_pages({&copy, 1});
  const std::vector<Token> other(4, 9);
  rig.run(other, 36, first);  // the donor goes its own way
  CHECK(distance(rig.run(std::span(tokens).subspan(36), 36, second), tail(expected, 4)) <= tolerance);
}

inline void a_page_copy_ends_at_its_tokens(const MakeBackend& make, const Models& models) {
  const auto tokens = some_tokens(16);
  Rig rig(make(), models, 16);
  const auto from = rig.pages(16), to = rig.pages(16);
  rig.run(tokens, 0, from);
  const Rows before = rig.run(some_tokens(16, 5), 0, to);
  const PageCopy nothing{.model = ModelId{0}, .from = from[0], .to = to[0], .tokens = 0};
  rig.backend->copy_pages({&nothing, 1});
  CHECK(distance(rig.run(std::span<const Token>(some_tokens(16, 5)).last(1), 15, to), tail(before, 1)) < 1e-3F);
  const PageCopy most{.model = ModelId{0}, .from = from[0], .to = to[0], .tokens = 15};
  rig.backend->copy_pages({&most, 1});
  const Rows mixed = rig.run(std::span<const Token>(some_tokens(16, 5)).last(1), 15, to);
  CHECK(distance(mixed, tail(before, 1)) > 1e-2F);
}

inline void two_models_share_one_arena(const MakeBackend& make, const Models& models, float tolerance) {
  REQUIRE(models.size() == 2);
  const auto tokens = some_tokens(30);
  Rig both(make(), models), a(make(), {models[0]}), b(make(), {models[1]});
  const auto pages0 = both.pages(30, 0);
  const auto pages1 = both.pages(30, 1);
  both.run(std::span(tokens).first(20), 0, pages0, 0);
  both.run(std::span(tokens).first(20), 0, pages1, 1);
  const auto rest = std::span(tokens).subspan(20);
  CHECK(distance(both.run(rest, 20, pages0, 0), tail(a.run(tokens), 10)) <= tolerance);
  CHECK(distance(both.run(rest, 20, pages1, 1), tail(b.run(tokens), 10)) <= tolerance);
}

/// draws come from the row they are asked for, with draw() as the judge.
inline void draws_are_of_the_last_rows(const MakeBackend& make, const Models& models, float tolerance) {
  const auto tokens = some_tokens(12);
  Rig rig(make(), models);
  const Rows expected = rig.run(tokens);
  const Sampling greedy, hot{.temperature = 0.8F};
  const std::vector<DrawSpec> draws{{.sampling = &greedy, .scores = true},
                                    {.sampling = &hot, .seed = 7, .position = 12, .top_logprobs = 3}};
  std::vector<TokenScore> out(2);
  const auto pages = rig.pages(12);
  const Segment s{.tokens = tokens, .pages = pages, .draws = draws};
  rig.backend->forward({.model = ModelId{0}, .segments = {&s, 1}, .drawn = out});
  CHECK(out[0].token == draw(expected[10], draws[0]).token);
  CHECK(std::abs(out[0].logprob - draw(expected[10], draws[0]).logprob) <= tolerance);
  CHECK(out[1].token == draw(expected[11], draws[1]).token);
  REQUIRE(out[1].top.size() == 3);
}

}  // namespace frugal::testing

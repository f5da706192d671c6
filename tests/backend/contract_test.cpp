#include <frugal/backend/backend.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <functional>
#include <memory>
#include <vector>

#include "support/faulty_backend.hpp"
#include "support/scripted_backend.hpp"
#include "support/tiny_model.hpp"

namespace frugal::testing {
namespace {

constexpr std::size_t page_bytes = granule_bytes;

/// A scripted backend with one tiny model, pages of 4 tokens and 64 granules.
struct Stage {
  std::shared_ptr<ScriptedBackend> scripted = std::make_shared<ScriptedBackend>(hashed_script());
  FaultyBackend backend{scripted};
  std::shared_ptr<const Model> model = tiny_model();
  ModelId id = backend.add_model(model);
  std::uint32_t vocab = model->spec().vocab;
  Sampling sampling{};

  Stage() {
    const std::vector<PageGeometry> g{{.page_tokens = 4, .page_bytes = page_bytes}};
    backend.bind_arena({.bytes = 64 * granule_bytes, .models = g});
  }

  /// Runs one segment and returns the token its last row draws.
  Token step(std::vector<Token> tokens, std::uint32_t start, const std::vector<Granule>& pages) {
    const DrawSpec draw{.sampling = &sampling, .position = start + static_cast<std::uint32_t>(tokens.size())};
    const Segment s{.tokens = tokens, .start = start, .pages = pages, .draws = {&draw, 1}};
    TokenScore out;
    backend.forward({.model = id, .segments = {&s, 1}, .drawn = {&out, 1}});
    return out.token;
  }

  void refused(const std::function<void(Segment&, Batch&)>& damage) {
    const std::vector<Token> tokens{1, 2, 3};
    const std::vector<Granule> pages{0};
    Segment s{.tokens = tokens, .pages = pages};
    Batch b{.model = id, .segments = {&s, 1}, .drawn = {}};
    damage(s, b);
    try {
      backend.forward(b);
      FAIL("not refused");
    } catch (const Error& e) {
      CHECK(e.code() == Errc::invalid_argument);
    }
  }
};

TEST_CASE("a scripted answer depends on every token and not on how it was chunked or paged") {
  Stage s;
  const Token whole = s.step({5, 6, 7, 8, 9, 10}, 0, {3, 7});
  s.step({5, 6, 7}, 0, {9, 1});
  CHECK(s.step({8, 9, 10}, 3, {9, 1}) == whole);
  CHECK(s.step({10}, 5, {3, 7}) == whole);
  CHECK(s.scripted->counts().bad_reads == 0);
  int same = 0;
  for (Token t = 100; t < 110; ++t) same += s.step({5, t, 7, 8, 9, 10}, 0, {20, 21}) == whole ? 1 : 0;
  CHECK(same <= 1);
}

TEST_CASE("a wrong block table shows as bad reads") {
  Stage s;
  s.step({5, 6, 7, 8, 9, 10}, 0, {3, 7});
  s.step({11}, 6, {7, 3});  // swapped
  CHECK(s.scripted->counts().bad_reads > 0);
}

TEST_CASE("a copied page head carries exactly the tokens asked for") {
  Stage s;
  const Token whole = s.step({5, 6, 7}, 0, {3});
  const PageCopy copy{.model = s.id, .from = 3, .to = 8, .tokens = 2};
  s.backend.copy_pages({&copy, 1});
  CHECK(s.step({7}, 2, {8}) == whole);
  CHECK(s.scripted->counts().bad_reads == 0);
  s.step({9}, 3, {3});
  s.step({9}, 3, {11});
  CHECK(s.scripted->counts().bad_reads == 3);
}

TEST_CASE("a fixed answer is spelt out after the prompt") {
  Stage s;
  ScriptedBackend b(fixed_answer(2, {40, 41, 42}));
  const ModelId id = b.add_model(s.model);
  const std::vector<PageGeometry> g{{.page_tokens = 16, .page_bytes = page_bytes}};
  b.bind_arena({.bytes = granule_bytes, .models = g});
  const std::vector<Token> tokens{1, 2, 40, 41, 42};
  const std::vector<Granule> pages{0};
  const std::vector<DrawSpec> draws(4, DrawSpec{.sampling = &s.sampling});
  std::vector<TokenScore> out(4);
  const Segment segment{.tokens = tokens, .pages = pages, .draws = draws};
  b.forward({.model = id, .segments = {&segment, 1}, .drawn = out});
  CHECK((out[0].token == 40 && out[1].token == 41 && out[2].token == 42 && out[3].token == 42));
}

TEST_CASE("logits and draws may be asked for different numbers of last rows") {
  Stage s;
  const std::vector<Token> tokens{5, 6, 7};
  const std::vector<Granule> pages{0};
  std::vector<float> logits(std::size_t{2} * s.vocab), last(s.vocab);
  const DrawSpec draw{.sampling = &s.sampling};
  TokenScore out;
  const Segment segment{.tokens = tokens, .pages = pages, .draws = {&draw, 1}, .logits = logits};
  s.backend.forward({.model = s.id, .segments = {&segment, 1}, .drawn = {&out, 1}});
  hashed_script()(s.id, std::vector<Token>{5, 6}, last);
  CHECK(std::equal(last.begin(), last.end(), logits.begin()));
  hashed_script()(s.id, tokens, last);
  CHECK(std::equal(last.begin(), last.end(), logits.begin() + s.vocab));
  CHECK(out.token == s.step(tokens, 0, {1}));
}

TEST_CASE("a batch that breaks the contract is refused before anything runs") {
  Stage s;
  const std::vector<Token> outside{1, 272};
  const std::vector<Granule> far{64}, none{};
  std::vector<float> odd(5);
  TokenScore out;
  s.refused([](Segment& g, Batch&) { g.tokens = {}; });
  s.refused([&](Segment& g, Batch&) { g.tokens = outside; });
  s.refused([&](Segment& g, Batch&) { g.pages = far; });
  s.refused([&](Segment& g, Batch&) { g.pages = none; });
  s.refused([](Segment& g, Batch&) { g.start = 2; });
  s.refused([&](Segment& g, Batch&) { g.logits = odd; });
  s.refused([&](Segment&, Batch& b) { b.drawn = {&out, 1}; });
  s.refused([](Segment&, Batch& b) { b.model = ModelId{3}; });
  CHECK(s.scripted->counts().forwards == 0);
}

TEST_CASE("a page that one segment writes may not be used by another") {
  Stage s;
  const std::vector<Token> tokens{1, 2}, more{3};
  const std::vector<Granule> a{0, 1}, b{0, 2}, twice{5, 5};
  const auto forward = [&](std::vector<Segment> segments) {
    s.backend.forward({.model = s.id, .segments = segments, .drawn = {}});
  };
  s.step({1, 2, 3, 4}, 0, {0});
  forward({{.tokens = tokens, .start = 4, .pages = a}, {.tokens = more, .start = 4, .pages = b}});  // share page 0
  CHECK_THROWS_AS(forward({{.tokens = tokens, .start = 4, .pages = a}, {.tokens = more, .start = 3, .pages = b}}),
                  Error);
  CHECK_THROWS_AS(forward({{.tokens = tokens, .start = 4, .pages = twice}}), Error);
}

TEST_CASE("page copies must stay inside the arena and apart") {
  Stage s;
  const auto copy = [&](Granule from, Granule to, std::uint32_t tokens) {
    const PageCopy c{.model = s.id, .from = from, .to = to, .tokens = tokens};
    s.backend.copy_pages({&c, 1});
  };
  CHECK_NOTHROW(copy(0, 1, 4));
  CHECK_THROWS_AS(copy(0, 0, 1), Error);
  CHECK_THROWS_AS(copy(0, 64, 1), Error);
  CHECK_THROWS_AS(copy(-1, 1, 1), Error);
  CHECK_THROWS_AS(copy(0, 1, 5), Error);
}

TEST_CASE("an arena whose pages are too small for the model is refused") {
  ScriptedBackend b(hashed_script(), 4096);
  b.add_model(tiny_model());
  const std::vector<PageGeometry> small{{.page_tokens = 4, .page_bytes = granule_bytes}};
  CHECK_THROWS_AS(b.bind_arena({.bytes = 64 * granule_bytes, .models = small}), Error);
  CHECK_THROWS_AS(b.bind_arena({.bytes = 64 * granule_bytes, .models = {}}), Error);
}

TEST_CASE("a faulty backend fails the k-th call only, before or after its work") {
  Stage s;
  s.backend.fail_forward(2, Errc::out_of_memory);
  s.step({1}, 0, {0});
  try {
    s.step({2}, 1, {0});
    FAIL("no fault");
  } catch (const Error& e) {
    CHECK(e.code() == Errc::out_of_memory);
  }
  CHECK(s.scripted->counts().forwards == 1);
  s.step({2}, 1, {0});
  s.backend.fail_forward(1, Errc::device, FaultyBackend::When::after, true);
  CHECK_THROWS_AS(s.step({3}, 2, {0}), Error);
  CHECK_THROWS_AS(s.step({3}, 2, {0}), Error);
  CHECK(s.scripted->counts().forwards == 4);
  s.backend.heal();
  CHECK_NOTHROW(s.step({3}, 2, {0}));
  s.backend.fail_copy(1, Errc::device);
  const PageCopy c{.model = s.id, .from = 0, .to = 1, .tokens = 1};
  CHECK_THROWS_AS(s.backend.copy_pages({&c, 1}), Error);
  CHECK_NOTHROW(s.backend.copy_pages({&c, 1}));
  CHECK((s.backend.forwards() == 6 && s.backend.copies() == 2 && s.backend.thrown() == 4));
}

}  // namespace
}  // namespace frugal::testing

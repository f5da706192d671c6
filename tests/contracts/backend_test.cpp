// A backend of a stranger's under the engine, and by itself: tickets, slots, adapters, hidden states, pages, health, traits.
#include "own_backend.hpp"

#include <frugal/backend/sampling.hpp>
#include <frugal/core/error.hpp>
#include <frugal/policy/prefix_cache.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <numeric>

using namespace stranger;

namespace {

constexpr std::uint32_t page_tokens = 16;

/// The backend alone, with pages 0, 1, 2, ... of one granule each.
struct Bound {
  Bound() {
    backend.add_model(own_model());
    backend.bind_arena({.bytes = 64 * granule_bytes, .models = geometry});
    std::iota(table.begin(), table.end(), 0);
  }
  std::vector<PageGeometry> geometry{{page_tokens, granule_bytes}};
  OwnBackend backend;
  std::vector<Granule> table = std::vector<Granule>(32);
};

Errc code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return Errc::internal;
}

}  // namespace

TEST_CASE(
    "an engine over a stranger's asynchronous backend answers as the model alone, cold and from the prefix cache") {
  auto backend = std::make_shared<OwnBackend>();
  EngineOptions options = options_with(backend);
  options.prefix_cache = lru();
  options.max_running = 4;
  Engine engine(std::move(options));
  for (int round = 0; round < 2; ++round) {
    std::vector<Stream> streams;
    for (std::uint32_t i = 0; i < 12; ++i) streams.push_back(engine.submit(request_of(prompt_of(40 + i, i % 3), 10)));
    for (std::uint32_t i = 0; i < 12; ++i) CHECK(streams[i].wait().tokens == answer_to(prompt_of(40 + i, i % 3), 10));
  }
  CHECK(engine.stats().tokens.prompt_cached > 0);
  CHECK(backend->slot_clashes == 0);
  CHECK(backend->highest_slot < 4);
  engine.check_integrity();
}

TEST_CASE("traits are asked at set-up, not in every step, and the most rows of a pass are obeyed") {
  auto backend = std::make_shared<OwnBackend>(20);
  Engine engine(options_with(backend));
  const int asked = backend->traits_asked;
  std::vector<Stream> streams;
  for (std::uint32_t i = 0; i < 8; ++i) streams.push_back(engine.submit(request_of(prompt_of(70, i), 20)));
  for (std::uint32_t i = 0; i < 8; ++i) CHECK(streams[i].wait().tokens == answer_to(prompt_of(70, i), 20));
  CHECK(backend->passes > 30);
  CHECK(backend->most_rows == 20);
  CHECK(backend->traits_asked == asked);
}

TEST_CASE("an arena larger than the memory that traits tell of is refused at set-up") {
  EngineOptions options = options_with(std::make_shared<OwnBackend>());
  options.kv_bytes = std::size_t{9} << 20;
  CHECK(code_of([&] { Engine engine(std::move(options)); }) == Errc::too_large);
}

TEST_CASE("an adapter is chosen by its name, reaches every row, and shares no cached prefix with others") {
  EngineOptions options = options_with(std::make_shared<OwnBackend>());
  options.prefix_cache = lru();
  Engine engine(std::move(options));
  const std::vector<Token> prompt = prompt_of(64);
  for (int round = 0; round < 2; ++round) {
    for (const auto& [name, id] :
         std::vector<std::pair<std::string, std::uint32_t>>{{"", 0}, {"formal", 1}, {"casual", 2}}) {
      Request request = request_of(prompt, 8);
      request.adapter = name;
      const Answer answer = engine.run(request);
      CHECK(answer.tokens == answer_to(prompt, 8, id));
      CHECK((answer.finish.usage.cached_read > 0) == (round == 1));
    }
  }
  Request unknown = request_of(prompt, 8);
  unknown.adapter = "rude";
  const Answer answer = engine.run(unknown);
  CHECK(answer.finish.reason == FinishReason::refused);
  CHECK(answer.finish.error->code() == Errc::invalid_argument);
}

TEST_CASE("passes follow each other by ticket: rows and drafts come from draws that the host has not seen") {
  Bound b;
  const std::vector<Token> prompt = prompt_of(20);
  const std::vector<Token> expected = answer_to(prompt, 3);
  Sampling greedy;
  const DrawSpec draw_one{.sampling = &greedy};
  std::vector<TokenScore> drawn(3);
  b.backend.hold();  // nothing runs until all three are submitted
  const Segment first{.tokens = prompt, .pages = b.table, .draws = {&draw_one, 1}};
  const Ticket one = b.backend.submit({.segments = {&first, 1}, .drawn = std::span(drawn).subspan(0, 1)});
  const Token unknown = -1;
  const DrawRef of_one{one, 0};
  const Segment second{
      .tokens = {&unknown, 1}, .start = 20, .pages = b.table, .draws = {&draw_one, 1}, .from = {&of_one, 1}};
  const Ticket two = b.backend.submit({.segments = {&second, 1}, .drawn = std::span(drawn).subspan(1, 1)});
  const DrawRef of_two{two, 0};
  const Segment third{
      .tokens = {&unknown, 1}, .start = 21, .pages = b.table, .draws = {&draw_one, 1}, .from = {&of_two, 1}};
  const Ticket three = b.backend.submit({.segments = {&third, 1}, .drawn = std::span(drawn).subspan(2, 1)});
  b.backend.release();
  b.backend.wait(three);
  CHECK(b.backend.wait(one).device_time);
  b.backend.wait(two);
  for (std::size_t i = 0; i < 3; ++i) CHECK(drawn[i].token == expected[i]);
  CHECK(code_of([&] { b.backend.wait(Ticket(99)); }) == Errc::invalid_argument);
}

TEST_CASE("a draft's distribution may stay with its ticket: the verdict is that of the host's copy") {
  Bound b;
  Sampling warm;
  warm.temperature = 1.5F;
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    const std::vector<Token> prompt = prompt_of(12, static_cast<std::uint32_t>(seed));
    std::vector<float> q;
    DrawSpec draft{.sampling = &warm, .seed = seed, .position = 12, .purpose = DrawPurpose::draft};
    draft.keep_distribution = true;
    std::vector<TokenScore> drawn(3);
    const std::vector<Token> shorter(prompt.begin() + 1, prompt.end());  // the draft model's idea of the prompt
    const Segment guess{.tokens = shorter, .pages = std::span(b.table).subspan(8, 8), .draws = {&draft, 1}};
    const Ticket ticket = b.backend.submit({.segments = {&guess, 1}, .drawn = std::span(drawn).subspan(0, 1)});
    b.backend.wait(ticket);
    std::vector<Cell> cells;
    for (const Token t : shorter) cells.push_back({t, 0});
    q = draw_distribution(logits_after(cells), draft);

    DrawSpec by_ticket{.sampling = &warm, .seed = seed, .position = 12};
    DrawSpec by_host = by_ticket;
    by_ticket.draft = {ticket, 0};
    by_host.draft_distribution = q, by_host.drafted = drawn[0].token;
    const Segment here{.tokens = prompt, .pages = b.table, .draws = {&by_ticket, 1}};
    const Segment there{
        .tokens = prompt, .pages = std::span(b.table).subspan(16, 8), .draws = {&by_host, 1}, .slot = 1};
    const std::vector<Segment> both{here, there};
    b.backend.forward({.segments = both, .drawn = std::span(drawn).subspan(1, 2)});
    CHECK(drawn[1].token == drawn[2].token);
  }
}

TEST_CASE("hidden states come after any layer, for the last rows, and normed") {
  Bound b;
  const std::vector<Token> prompt{7, 8, 9};
  std::vector<float> states(2 * 32, -1.0F);
  for (const std::uint32_t layer : {0U, 1U}) {
    const Segment s{.tokens = prompt, .pages = b.table, .hidden = states, .hidden_layer = layer};
    b.backend.forward({.segments = {&s, 1}, .drawn = {}, .layers = layer});
    CHECK(states.front() == 8.0F + static_cast<float>(layer));
    CHECK(states.back() == 9.0F + static_cast<float>(layer));
  }
  const Segment s{.tokens = prompt, .pages = b.table, .hidden = states, .hidden_layer = 1, .hidden_normed = true};
  b.backend.forward({.segments = {&s, 1}, .drawn = {}});
  CHECK(std::count(states.begin(), states.end(), 1.0F) == 64);
}

TEST_CASE("pages leave one backend and go on in another that has the same layout") {
  Bound here, there;
  REQUIRE(here.backend.layout_fingerprint(ModelId(0)) == there.backend.layout_fingerprint(ModelId(0)));
  const std::vector<Token> prompt = prompt_of(2 * page_tokens);
  const Segment s{.tokens = prompt, .pages = here.table};
  here.backend.forward({.segments = {&s, 1}, .drawn = {}});
  std::vector<std::byte> bytes(2 * page_tokens * sizeof(Cell));
  const std::size_t half = bytes.size() / 2;
  const std::vector<PageRead> out{{ModelId(0), 0, std::span(bytes).first(half)},
                                  {ModelId(0), 1, std::span(bytes).last(half)}};
  here.backend.wait(here.backend.read_pages(out));
  const std::vector<PageWrite> in{{ModelId(0), 9, std::span(bytes).first(half)},
                                  {ModelId(0), 5, std::span(bytes).last(half)}};
  there.backend.wait(there.backend.write_pages(in));
  Sampling greedy;
  const DrawSpec draw_one{.sampling = &greedy};
  const std::vector<Granule> table{9, 5, 3};
  const Token next = answer_to(prompt, 1)[0];
  TokenScore drawn;
  const Segment more{.tokens = {&next, 1}, .start = 2 * page_tokens, .pages = table, .draws = {&draw_one, 1}};
  there.backend.forward({.segments = {&more, 1}, .drawn = {&drawn, 1}});
  CHECK(drawn.token == answer_to(prompt, 2)[1]);
}

TEST_CASE("a device that breaks ends what runs, and what comes later is refused instead of queued") {
  auto backend = std::make_shared<OwnBackend>();
  Engine engine(options_with(backend));
  Stream running = engine.submit(request_of(prompt_of(20), 100));
  REQUIRE(running.next());
  backend->break_for_good();
  const Answer answer = running.wait();
  CHECK(answer.finish.reason == FinishReason::error);
  CHECK(answer.finish.error->code() == Errc::device);
  const Answer late = engine.run(request_of(prompt_of(20), 3));
  CHECK(late.finish.reason == FinishReason::refused);
  CHECK(late.finish.error->code() == Errc::device);
  engine.check_integrity();
}

namespace {

/// Seven functions and nothing else: all that must be written.
class Least final : public Backend {
 public:
  std::string_view name() const override { return "least"; }
  BackendTraits traits() const override { return {}; }
  ModelId add_model(std::shared_ptr<const Model>) override { return ModelId(0); }
  std::size_t kv_bytes_per_token(ModelId) const override { return 1; }
  void bind_arena(const ArenaLayout&) override {}
  void copy_pages(std::span<const PageCopy>) override {}
  void forward(const Batch& batch) override {
    tokens.clear();
    for (const Segment& s : batch.segments) tokens.insert(tokens.end(), s.tokens.begin(), s.tokens.end());
    for (TokenScore& score : batch.drawn) score.token = 65;
  }
  std::vector<Token> tokens;
};

/// Sees every pass of another backend.
class Counting final : public BackendWrapper {
 public:
  using BackendWrapper::BackendWrapper;
  void forward(const Batch& batch) override {
    ++forwards;
    BackendWrapper::forward(batch);
  }
  int forwards = 0;
};

}  // namespace

TEST_CASE("a backend of seven functions has tickets, resolves what they name, and refuses page traffic by name") {
  Least least;
  const Token prompt = 3, unknown = -1;
  Sampling greedy;
  const DrawSpec draw_one{.sampling = &greedy};
  TokenScore drawn;
  const Segment first{.tokens = {&prompt, 1}, .pages = {}, .draws = {&draw_one, 1}};
  const Ticket one = least.submit({.segments = {&first, 1}, .drawn = {&drawn, 1}});
  const DrawRef ref{one, 0};
  const Segment second{.tokens = {&unknown, 1}, .start = 1, .pages = {}, .from = {&ref, 1}};
  least.wait(least.submit({.segments = {&second, 1}, .drawn = {}}));
  CHECK(least.tokens == std::vector<Token>{65});
  least.wait(one);
  CHECK(least.layout_fingerprint(ModelId(0)) == 0);
  CHECK(least.healthy());
  CHECK_FALSE(least.find_adapter(ModelId(0), "formal"));
  CHECK(code_of([&] { least.wait(least.read_pages({})); }) == Errc::unsupported);
  CHECK(code_of([&] { least.wait(least.write_pages({})); }) == Errc::unsupported);
}

TEST_CASE("a wrapper sees every pass, and forwards adapters, fingerprints, traits and health") {
  auto inner = std::make_shared<OwnBackend>();
  auto counting = std::make_shared<Counting>(inner);
  CHECK_FALSE(counting->traits().async);  // its passes go through forward()
  CHECK(counting->traits().chunk == 16);
  CHECK(counting->find_adapter(ModelId(0), "casual") == AdapterId(2));
  Engine engine(options_with(counting));
  CHECK(counting->layout_fingerprint(ModelId(0)) == inner->layout_fingerprint(ModelId(0)));
  CHECK(engine.run(request_of(prompt_of(30), 6)).tokens == answer_to(prompt_of(30), 6));
  CHECK(counting->forwards == inner->passes);
  CHECK(counting->forwards >= 6);
  inner->break_for_good();
  CHECK_FALSE(counting->healthy());
}

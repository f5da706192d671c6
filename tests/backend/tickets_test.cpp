#include <frugal/backend/backend.hpp>
#include <frugal/backend/sampling.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/faulty_backend.hpp"
#include "support/scripted_backend.hpp"
#include "support/tiny_model.hpp"

namespace frugal::testing {
namespace {

/// A scripted backend with one tiny model and pages of 4 tokens, driven by tickets.
struct Tickets {
  std::shared_ptr<ScriptedBackend> scripted = std::make_shared<ScriptedBackend>(hashed_script());
  FaultyBackend backend{scripted};
  ModelId id = backend.add_model(tiny_model());
  Sampling sampling{.temperature = 1.0F};
  std::vector<Granule> pages{0, 1, 2, 3};
  TokenScore drawn{};

  Tickets() {
    const std::vector<PageGeometry> g{{.page_tokens = 4, .page_bytes = granule_bytes}};
    backend.bind_arena({.bytes = 64 * granule_bytes, .models = g});
  }
  DrawSpec spec(std::uint32_t position) const { return {.sampling = &sampling, .seed = 5, .position = position}; }

  /// One segment whose last row draws into `drawn`; inputs die when this returns.
  Ticket submit(const std::vector<Token>& tokens, std::uint32_t start, std::vector<DrawRef> from = {},
                const std::function<void(DrawSpec&)>& change = {}) {
    DrawSpec draw = spec(start + static_cast<std::uint32_t>(tokens.size()));
    if (change) change(draw);
    const Segment s{.tokens = tokens, .start = start, .pages = pages, .draws = {&draw, 1}, .from = from};
    return backend.submit({.model = id, .segments = {&s, 1}, .drawn = {&drawn, 1}});
  }
  std::string refusal(Ticket ticket) {
    try {
      backend.wait(ticket);
    } catch (const Error& e) {
      CHECK(e.code() == Errc::invalid_argument);
      return e.what();
    }
    return "";
  }
};

TEST_CASE("a pass by ticket gives what forward gives, and any number may be waited for in any order") {
  Tickets t;
  const Ticket first = t.submit({5, 6, 7}, 0), second = t.submit({8}, 3);
  CHECK(second > first);
  t.backend.wait(second);
  t.backend.wait(first);
  const Token by_ticket = t.drawn.token;

  Tickets plain;
  const std::vector<Token> tokens{5, 6, 7, 8};
  const DrawSpec draw = plain.spec(4);
  const Segment s{.tokens = tokens, .pages = plain.pages, .draws = {&draw, 1}};
  plain.backend.forward({.model = plain.id, .segments = {&s, 1}, .drawn = {&plain.drawn, 1}});
  CHECK(plain.drawn.token == by_ticket);
}

TEST_CASE("what a pass throws is thrown by its wait and by no other") {
  Tickets t;
  t.backend.fail_forward(2, Errc::out_of_memory);
  const Ticket good = t.submit({1}, 0), bad = t.submit({2}, 1), next = t.submit({3}, 1);
  CHECK_NOTHROW(t.backend.wait(good));
  CHECK_NOTHROW(t.backend.wait(next));
  try {
    t.backend.wait(bad);
    FAIL("nothing thrown");
  } catch (const Error& e) {
    CHECK(e.code() == Errc::out_of_memory);
  }
  CHECK(t.refusal(bad).find("was waited for before") != std::string::npos);
  CHECK(t.refusal(Ticket{}).find("unknown") != std::string::npos);
  CHECK(t.refusal(Ticket{99}).find("unknown") != std::string::npos);
}

TEST_CASE("rows may take the token that an earlier pass drew before anybody waited for it") {
  Tickets chained, host;
  const Ticket first = chained.submit({5, 6, 7}, 0);
  const Ticket second = chained.submit({-1}, 3, {{.ticket = first}});
  const Ticket third = chained.submit({-1, 9}, 4, {{.ticket = second}, {}});
  for (const Ticket ticket : {first, second, third}) chained.backend.wait(ticket);

  host.backend.wait(host.submit({5, 6, 7}, 0));
  host.backend.wait(host.submit({host.drawn.token}, 3));
  host.backend.wait(host.submit({host.drawn.token, 9}, 4));
  CHECK(chained.drawn.token == host.drawn.token);
  CHECK(chained.scripted->counts().bad_reads == 0);
}

TEST_CASE("a draft is judged by the distribution that its own pass kept") {
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    Tickets t;
    const auto seeded = [&](DrawSpec& d) { d.seed = seed; };
    std::vector<float> q;
    const Ticket draft = t.submit({5, 6, 7}, 0, {}, [&](DrawSpec& d) {
      seeded(d), d.purpose = DrawPurpose::draft, d.keep_distribution = true, d.distribution = nullptr;
    });
    t.backend.wait(draft);
    const Token drafted = t.drawn.token;
    t.backend.wait(t.submit({5, 6, 8}, 0, {}, [&](DrawSpec& d) { seeded(d), d.draft = {.ticket = draft}; }));
    const Token by_ticket = t.drawn.token;

    t.backend.wait(t.submit({5, 6, 7}, 0, {},
                            [&](DrawSpec& d) { seeded(d), d.purpose = DrawPurpose::draft, d.distribution = &q; }));
    REQUIRE(t.drawn.token == drafted);
    t.backend.wait(
        t.submit({5, 6, 8}, 0, {}, [&](DrawSpec& d) { seeded(d), d.draft_distribution = q, d.drafted = drafted; }));
    CHECK(t.drawn.token == by_ticket);
    accepted += by_ticket == drafted ? 1 : 0;
  }
  CHECK((accepted > 0 && accepted < 64));  // both ways out were taken
}

TEST_CASE("a pass that names draws which do not exist is refused by the number that is wrong") {
  Tickets t;
  const Ticket first = t.submit({5, 6}, 0);
  t.backend.fail_forward(1, Errc::internal);
  const Ticket failed = t.submit({7}, 2);
  CHECK(t.refusal(t.submit({-1}, 2, {{.ticket = first, .draw = 3}})).find("number 3") != std::string::npos);
  CHECK(t.refusal(t.submit({-1}, 2, {{.ticket = failed}})).find("failed") != std::string::npos);
  CHECK(t.refusal(t.submit({-1}, 2, {{.ticket = Ticket{77}}})).find("ticket 77") != std::string::npos);
  CHECK(t.refusal(t.submit({-1, 4}, 2, {{.ticket = first}})).find("another size") != std::string::npos);
  const auto draft_of = [&](Ticket ticket) { return [=](DrawSpec& d) { d.draft = {.ticket = ticket}; }; };
  CHECK(t.refusal(t.submit({7}, 2, {}, draft_of(first))).find("did not keep") != std::string::npos);
  CHECK_THROWS_AS(t.backend.wait(failed), Error);
  t.backend.wait(first);
  for (std::uint32_t i = 0; i < ticket_memory; ++i) t.backend.wait(t.submit({7}, 2));
  CHECK(t.refusal(t.submit({-1}, 3, {{.ticket = first}})).find("not among the last passes") != std::string::npos);
}

TEST_CASE("more passes under way than there is memory for is an error at submit, and nothing is lost") {
  Tickets t;
  std::vector<Ticket> open;
  for (std::uint32_t i = 0; i < ticket_memory; ++i) open.push_back(t.submit({5}, 0));
  CHECK_THROWS_AS(t.submit({5}, 0), Error);
  for (const Ticket ticket : open) CHECK_NOTHROW(t.backend.wait(ticket));
  CHECK_NOTHROW(t.backend.wait(t.submit({5}, 0)));
}

TEST_CASE("forward itself takes what is on the host only, and no adapter that nobody knows") {
  Tickets t;
  const std::vector<Token> tokens{1};
  const auto code_of = [&](const Segment& s) {
    try {
      t.backend.forward({.model = t.id, .segments = {&s, 1}, .drawn = {}});
    } catch (const Error& e) {
      return e.code();
    }
    return Errc::internal;
  };
  const std::vector<DrawRef> from{{.ticket = Ticket{1}}};
  CHECK(code_of({.tokens = tokens, .pages = t.pages, .from = from}) == Errc::invalid_argument);
  CHECK(code_of({.tokens = tokens, .pages = t.pages, .adapter = AdapterId{1}}) == Errc::unsupported);
}

TEST_CASE("a backend that says nothing more has no adapters, cannot move pages, and is healthy") {
  Tickets t;
  std::vector<std::byte> bytes(32);
  const PageRead read{.model = t.id, .page = 0, .bytes = bytes};
  const PageWrite write{.model = t.id, .page = 0, .bytes = bytes};
  for (const Ticket ticket : {t.backend.read_pages({&read, 1}), t.backend.write_pages({&write, 1})}) {
    try {
      t.backend.wait(ticket);
      FAIL("nothing thrown");
    } catch (const Error& e) {
      CHECK(e.code() == Errc::unsupported);
    }
  }
  CHECK(t.backend.layout_fingerprint(t.id) == 0);
  CHECK_FALSE(t.backend.find_adapter(t.id, "any").has_value());
  CHECK(t.backend.healthy());
  CHECK_FALSE(t.backend.traits().async);
}

}  // namespace
}  // namespace frugal::testing

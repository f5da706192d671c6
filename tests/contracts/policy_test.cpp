// Policies of a stranger's: each question is asked when its contract says, and its answer has the effect it promises.
#include "own_endpoints.hpp"

#include <frugal/core/error.hpp>
#include <frugal/endpoint/cascade.hpp>
#include <frugal/policy/output.hpp>
#include <frugal/policy/prefix_cache.hpp>
#include <frugal/policy/speculation.hpp>

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <string>

using namespace stranger;

namespace {

/// Ends an answer at the first token above a limit that it lowers whenever an answer became long.
struct Learner final : OutputPolicy {
  std::string_view name() const override { return "learner"; }
  std::uint32_t budget(const RequestView& request) override {
    budgets.emplace_back(request.request_id);
    return request.type == "short" ? 3 : 0;
  }
  std::optional<Stop> after(const SequenceView& sequence) override {
    if (sequence.request.type != "cut" || sequence.output.size() < 6) return std::nullopt;
    return Stop{.policy = "learner", .trim_tokens = 2};
  }
  void ended(const SequenceView& sequence, const AnswerOutcome& outcome) override {
    heard[std::string(sequence.request.request_id)] = {outcome.reason, std::string(outcome.detail),
                                                       outcome.usage.output, sequence.output.size()};
  }
  struct End {
    FinishReason reason{};
    std::string detail{};
    std::uint64_t output = 0;
    std::size_t tokens = 0;
  };
  std::vector<std::string> budgets{};
  std::map<std::string, End> heard{};
};

Request named(std::string id, std::string type, std::uint32_t max_tokens = 12) {
  Request request = request_of(prompt_of(20, static_cast<std::uint32_t>(id.size())), max_tokens);
  request.id = std::move(id), request.type = std::move(type);
  return request;
}

/// Drafts two tokens for whoever is alone, and none in company.
struct Alone final : SpeculationPolicy {
  std::string_view name() const override { return "alone"; }
  DraftPlan propose(const SequenceView& sequence, const DraftRoom& room) override {
    CHECK_FALSE(room.drafters.empty());
    CHECK(sequence.output.size() < sequence.budget);
    ++asked;
    return {.drafter = room.drafters.front().index, .tokens = room.decode_rows == 1 ? 2U : 0U};
  }
  void learn(const SequenceView&, const DraftOutcome& outcome) override {
    CHECK((outcome.plan.tokens == 1 || outcome.plan.tokens == 2));  // the budget's end cuts a plan
    CHECK(outcome.accepted <= outcome.drafted);
    drafted += outcome.drafted, accepted += outcome.accepted;
  }
  void observe(const PassCost& cost) override { rows += cost.rows; }
  void finished(RequestId) override { ++ended; }
  std::uint64_t asked = 0, drafted = 0, accepted = 0, rows = 0, ended = 0;
};

/// Keeps nothing of "secret" requests, lets the tenants of one house share, and lets long pieces stay longest.
struct House final : PrefixCachePolicy {
  std::string_view name() const override { return "house"; }
  double worth(const PrefixView& piece) const override { return static_cast<double>(piece.before + piece.tokens); }
  Duration keep(const RequestView& request) const override {
    return request.type == "secret" ? Duration::zero() : PrefixCachePolicy::keep(request);
  }
  std::string salt(const RequestView& request) const override {
    return std::string(request.tenant.substr(0, request.tenant.find('/')));
  }
};

/// Takes the first answer of the kind it likes, gives up on a running one that begins wrongly, and keeps a diary.
struct Judge final : CascadePolicy {
  std::string_view name() const override { return "judge"; }
  std::size_t first(const RequestView&, std::size_t) override { return 0; }
  Verdict judge(const AttemptView& attempt) override {
    ++judged;
    const bool good = attempt.text.starts_with("good");
    return {.next = good ? std::nullopt : std::optional(attempt.endpoint + 1), .score = good ? 1.0 : 0.25};
  }
  bool judges_running() const override { return true; }
  Verdict judge_running(const AttemptView& attempt) override {
    CHECK_FALSE(attempt.finish);
    ++judged_running;
    if (!attempt.text.starts_with("bad")) return {};
    return {.next = 1, .score = 0.0};
  }
  void learn(const CascadeOutcome& outcome) override {
    std::string line;
    for (const TryOutcome& t : outcome.tries)
      line += std::to_string(t.endpoint) + ":" + std::string(to_string(t.finish)) + (t.score ? "" : "?") + " ";
    diary.push_back(line + "-> " + (outcome.given ? std::to_string(*outcome.given) : "none"));
  }
  int judged = 0, judged_running = 0;
  std::vector<std::string> diary{};
};

}  // namespace

TEST_CASE("an output policy gives budgets, cuts answers short, and hears how each one ended") {
  auto learner = std::make_shared<Learner>();
  EngineOptions options = options_with(std::make_shared<OwnBackend>());
  options.output = learner;
  Engine engine(std::move(options));
  const Answer brief = engine.run(named("a", "short")), cut = engine.run(named("bb", "cut")),
               whole = engine.run(named("ccc", ""));
  CHECK(brief.tokens.size() == 3);
  CHECK(brief.finish.reason == FinishReason::capped);
  CHECK(brief.finish.detail == "learner");
  CHECK(cut.finish.reason == FinishReason::capped);
  CHECK(whole.finish.reason == FinishReason::length);
  Stream unread = engine.submit(named("dddd", "", 100));
  REQUIRE(unread.next());
  unread.cancel();
  CHECK(unread.wait().finish.reason == FinishReason::cancelled);
  CHECK(learner->budgets == std::vector<std::string>{"a", "bb", "ccc", "dddd"});
  REQUIRE(learner->heard.size() == 4);
  CHECK(learner->heard["a"].reason == FinishReason::capped);
  CHECK(learner->heard["a"].detail == "learner");
  CHECK(learner->heard["bb"].tokens == cut.tokens.size());
  CHECK(learner->heard["ccc"].output == 12);
  CHECK(learner->heard["dddd"].reason == FinishReason::cancelled);
}

TEST_CASE("a speculation policy drafts when it pays, hears what came of it, and of every pass and end") {
  auto alone = std::make_shared<Alone>();
  EngineOptions options = options_with(std::make_shared<OwnBackend>());
  options.speculation = alone;
  Engine engine(std::move(options));
  Request request = request_of(prompt_of(20), 12);
  request.draft.tokens = answer_to(prompt_of(20), 12);
  CHECK(engine.run(request).tokens == answer_to(prompt_of(20), 12));
  CHECK(alone->drafted >= 6);
  CHECK(alone->accepted == alone->drafted);
  CHECK(alone->rows > 0);
  CHECK(alone->ended == 1);
  const std::uint64_t before = alone->drafted;
  Stream one = engine.submit(request), two = engine.submit(request);
  CHECK(one.wait().tokens == two.wait().tokens);
  CHECK(alone->drafted - before <= 4);  // while one of them had no neighbour: at the beginning or at the end
  CHECK(alone->ended == 3);
}

TEST_CASE("a prefix policy says what is kept, who shares, and what leaves first") {
  EngineOptions options = options_with(std::make_shared<OwnBackend>());
  options.prefix_cache = std::make_shared<House>();
  options.kv_bytes = std::size_t{32} << 12;  // 32 pages
  Engine engine(std::move(options));
  const auto cached = [&](std::string tenant, std::string type, std::size_t tokens, std::uint32_t seed) {
    Request request = request_of(prompt_of(tokens, seed), 2);
    request.tenant = std::move(tenant), request.type = std::move(type);
    return engine.run(request).finish.usage.cached_read;
  };
  CHECK(cached("acme/a", "", 64, 1) == 0);
  CHECK(cached("acme/b", "", 64, 1) > 0);    // the same house
  CHECK(cached("other/a", "", 64, 1) == 0);  // another one
  CHECK(cached("acme/a", "secret", 64, 2) == 0);
  CHECK(cached("acme/a", "secret", 64, 2) == 0);  // nothing was kept
  CHECK(cached("acme/a", "", 200, 3) == 0);       // long: it stays longest
  for (std::uint32_t seed = 10; seed < 22; ++seed) cached("acme/a", "", 40, seed);
  CHECK(cached("acme/a", "", 200, 3) >= 160);
  CHECK(cached("acme/a", "", 40, 10) == 0);  // short ones made room
  engine.check_integrity();
}

TEST_CASE("a cascade policy judges running and ended answers, and learns how each request ended") {
  Post small("small"), big("big");
  auto judge = std::make_shared<Judge>();
  Cascade cascade({.name = "pair", .tiers = {&small, &big}, .policy = judge});
  const auto ask = [&](const std::string& text) {
    Stream stream = cascade.submit(Request{RawPrompt{text}});
    small.deliver(1);
    for (int i = 0; i < 1000 && !stream.done(); ++i) {
      big.deliver(1);
      static_cast<void>(stream.next_for(std::chrono::milliseconds(1)));
    }
    return stream.wait();
  };
  const Answer good = ask("good morning"), poor = ask("fair enough"), bad = ask("bad idea");
  CHECK(good.finish.model == "small");
  CHECK(poor.finish.model == "big");
  CHECK(bad.finish.model == "big");
  CHECK(good.finish.ledger.attempts.size() == 1);
  REQUIRE(poor.finish.ledger.attempts.size() == 2);
  CHECK(poor.finish.ledger.attempts[0].score == 0.25);
  CHECK_FALSE(poor.finish.ledger.attempts[0].accepted);
  CHECK(judge->judged_running > 3);
  REQUIRE(judge->diary.size() == 3);
  CHECK(judge->diary[0] == "0:stop -> 0");
  CHECK(judge->diary[1].starts_with("0:stop 1:stop"));
  CHECK(judge->diary[2].starts_with("0:cancelled 1:stop"));
  CHECK(judge->diary[2].ends_with("-> 1"));
}

TEST_CASE("priority overtakes what waits and what runs, between equals the tenant that got less goes first") {
  EngineOptions options = options_with(std::make_shared<OwnBackend>());
  options.max_running = 1;
  Engine engine(std::move(options));
  std::vector<std::string> order;
  const auto ask = [&](std::string id, std::string tenant, std::int32_t priority) {
    Request request = named(id, "", 4);
    request.tenant = std::move(tenant), request.priority = priority;
    engine.submit(
        request, [](const Delta&) {}, [&order, id](const Finish&) { order.push_back(id); });
  };
  ask("first", "a", 0);
  engine.step();
  for (int i = 0; i < 3; ++i) ask("a" + std::to_string(i), "a", 0);
  ask("b", "b", 0);
  ask("urgent", "a", 5);
  ask("later", "b", -5);
  engine.drive([] { return false; });
  REQUIRE(order.size() == 7);
  CHECK(order[0] == "urgent");  // the only place went to it, although another one ran
  CHECK(order[1] == "first");
  CHECK(order[2] == "b");
  CHECK(order.back() == "later");
}

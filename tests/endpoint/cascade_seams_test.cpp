// A cascade at its seams: names, money, threads, tiers that misbehave, and a policy that watches and learns.
#include <frugal/endpoint/budgeted.hpp>
#include <frugal/endpoint/cascade.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <functional>
#include <optional>
#include <thread>

#include "endpoint/canned_endpoint.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using Catch::Approx;

namespace {

Request ask(std::string model = {}) {
  Request request{RawPrompt{"why?"}};
  request.model = std::move(model);
  return request;
}

struct Counting final : Sink {
  void on_prompt(std::span<const Token>) override { ++prompts; }
  void on_delta(Delta d) override {
    text += d.text;
    if (throws) throw 42;
  }
  void on_finish(Finish f) override {
    end = std::move(f);
    ++finishes;
  }
  std::atomic<int> prompts{0}, finishes{0};
  std::string text;
  Finish end;
  bool throws = false;
};

struct Policy final : CascadePolicy {
  std::string_view name() const override { return "test"; }
  std::size_t first(const RequestView&, std::size_t) override {
    const Inside now(*this);
    ++firsts;
    return 0;
  }
  Verdict judge(const AttemptView& a) override {
    const Inside now(*this);
    return judging ? judging(a) : Verdict{.next = a.endpoint + 1, .score = {}};
  }
  bool judges_running() const override { return static_cast<bool>(watching); }
  Verdict judge_running(const AttemptView& a) override {
    const Inside now(*this);
    return watching(a);
  }
  void learn(const CascadeOutcome& o) override {
    const Inside now(*this);
    ++outcomes;
    if (learning) learning(o);
  }
  struct Inside {
    explicit Inside(Policy& p) : policy(p) { policy.overlaps += policy.inside.fetch_add(1) > 0; }
    ~Inside() { --policy.inside; }
    Policy& policy;
  };
  std::function<Verdict(const AttemptView&)> judging, watching;
  std::function<void(const CascadeOutcome&)> learning;
  std::atomic<int> inside{0}, overlaps{0}, firsts{0}, outcomes{0};
};

/// Does with a request what the test says, on the caller's thread.
struct Direct final : Endpoint {
  using Behaviour = std::function<Call(Request, std::shared_ptr<Sink>)>;
  Direct(std::string n, Behaviour b) : label(std::move(n)), behaviour(std::move(b)) {}
  std::string_view name() const override { return label; }
  Call start(Request r, std::shared_ptr<Sink> sink) override { return behaviour(std::move(r), std::move(sink)); }
  Progress step() override { return Progress::idle; }
  std::string label;
  Behaviour behaviour;
};

Finish ended(FinishReason reason, Usage usage = {}, const std::string& model = {}) {
  Finish end;
  end.reason = reason;
  end.usage = usage;
  end.model = model;
  if (reason == FinishReason::refused || reason == FinishReason::error) end.error = Error(Errc::busy, "no room");
  end.ledger.attempts.push_back({.endpoint = "direct", .model = model, .usage = usage});
  return end;
}

Direct says(std::string name, std::string text) {
  return Direct(name, [name, text](Request, std::shared_ptr<Sink> sink) {
    if (!text.empty()) sink->on_delta({text, {1}, {}});
    sink->on_finish(ended(FinishReason::stop, {.input = 3, .output = 1}, name));
    return Call();
  });
}

Direct ends(std::string name, FinishReason reason) {
  return Direct(std::move(name), [reason](Request, std::shared_ptr<Sink> sink) {
    sink->on_finish(ended(reason));
    return Call();
  });
}

}  // namespace

TEST_CASE(
    "a request names the tier to begin at, the cascade itself, or nothing: any other name is refused with the known "
    "ones") {
  CannedEndpoint small("small", {{"maybe"}}), big("big", {{"certainly"}});
  auto policy = std::make_shared<Policy>();
  policy->judging = [](const AttemptView&) { return Verdict{}; };
  Cascade cascade({.name = "two", .tiers = {&small, &big}, .policy = policy});
  CHECK(cascade.run(ask()).text == "maybe");
  CHECK(cascade.run(ask("two")).text == "maybe");
  CHECK(policy->firsts == 2);
  CHECK(cascade.run(ask("big")).text == "certainly");
  CHECK(policy->firsts == 2);  // not asked where the caller has said it
  CHECK(big.requests.back().model.empty());
  const Finish unknown = cascade.run(ask("gpt-9")).finish;
  CHECK(unknown.reason == FinishReason::refused);
  REQUIRE(unknown.error);
  CHECK(unknown.error->code() == Errc::invalid_argument);
  CHECK(mentions(*unknown.error, "gpt-9"));
  CHECK(mentions(*unknown.error, "small, big"));
}

TEST_CASE("a policy is asked one question at a time, whatever threads begin and end attempts") {
  Direct small = says("small", "maybe"), big = says("big", "certainly");
  auto policy = std::make_shared<Policy>();
  policy->judging = [](const AttemptView& a) {
    std::this_thread::yield();
    return Verdict{.next = a.endpoint + 1, .score = {}};
  };
  Cascade cascade({.tiers = {&small, &big}, .policy = policy});
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) right += cascade.run(ask()).text == "certainly";
    });
  for (std::thread& t : threads) t.join();
  CHECK(right == 400);
  CHECK(policy->overlaps == 0);
  CHECK(policy->outcomes == 400);
}

TEST_CASE("an answer that was paid for is kept where the escalation is refused, fails, or comes to nothing") {
  struct Case {
    FinishReason reason;
    const char* what;
  };
  for (const Case& c :
       {Case{FinishReason::refused, "was refused: no room"}, Case{FinishReason::error, "failed: no room"},
        Case{FinishReason::stop, "gave an empty answer"}}) {
    Direct small = says("small", "maybe"), big = ends("big", c.reason);
    auto policy = std::make_shared<Policy>();
    std::optional<std::size_t> given;
    policy->learning = [&](const CascadeOutcome& o) { given = o.given; };
    Cascade cascade({.tiers = {&small, &big}, .policy = policy});
    const Answer answer = cascade.run(ask());
    CHECK(answer.text == "maybe");
    CHECK(answer.finish.reason == FinishReason::stop);
    CHECK(answer.finish.model == "small");
    CHECK(answer.finish.detail.find(c.what) != std::string::npos);
    CHECK_FALSE(answer.finish.error);
    REQUIRE(answer.finish.ledger.attempts.size() == 2);
    CHECK(answer.finish.ledger.attempts[0].accepted);
    CHECK_FALSE(answer.finish.ledger.attempts[1].accepted);
    CHECK(given == 0);
  }
}

TEST_CASE("a deadline that passes in the escalation gives the rejected answer, as ended by the deadline") {
  Direct small = says("small", "maybe"), big = ends("big", FinishReason::deadline);
  Cascade cascade({.tiers = {&small, &big}, .policy = std::make_shared<Policy>()});
  const Answer answer = cascade.run(ask());
  CHECK(answer.text == "maybe");
  CHECK(answer.finish.reason == FinishReason::deadline);
  CHECK(answer.finish.model == "small");
}

TEST_CASE("refused means that no tier began") {
  Direct none = ends("small", FinishReason::refused), failing = ends("small", FinishReason::error),
         refusing = ends("big", FinishReason::refused);
  Cascade never({.tiers = {&none, &refusing}, .policy = std::make_shared<Policy>()});
  CHECK(never.run(ask()).finish.reason == FinishReason::refused);
  Cascade begun({.tiers = {&failing, &refusing}, .policy = std::make_shared<Policy>()});
  const Finish end = begun.run(ask()).finish;
  CHECK(end.reason == FinishReason::error);
  CHECK(end.error->code() == Errc::busy);
}

TEST_CASE("an empty answer escalates under margin_threshold, however sure the model was of it") {
  CannedEndpoint small("small", {{""}, 1.0F}), big("big", {{"certainly"}, 0.9F});
  Cascade cascade({.tiers = {&small, &big}, .policy = margin_threshold(0.5)});
  const Answer answer = cascade.run(ask());
  CHECK(answer.text == "certainly");
  CHECK(answer.finish.ledger.attempts.size() == 2);
}

TEST_CASE("a tier may end a request inside cancel, twice, or throw from start: one Finish reaches the caller") {
  const auto counted = [](Endpoint& tier, Endpoint& next, bool cancel) {
    Cascade cascade({.tiers = {&tier, &next}, .policy = std::make_shared<Policy>()});
    auto sink = std::make_shared<Counting>();
    const Call call = cascade.start(ask(), sink);
    if (cancel) call.cancel();
    CHECK(sink->finishes == 1);
    return sink->end.reason;
  };
  Direct big = says("big", "certainly");
  Direct in_cancel("a", [](Request, std::shared_ptr<Sink> sink) {
    return Call([sink] { sink->on_finish(ended(FinishReason::cancelled)); });
  });
  CHECK(counted(in_cancel, big, true) == FinishReason::cancelled);
  Direct twice("b", [](Request, std::shared_ptr<Sink> sink) {
    sink->on_finish(ended(FinishReason::stop));
    sink->on_finish(ended(FinishReason::stop));
    sink->on_delta({"late", {1}, {}});
    return Call();
  });
  CHECK(counted(twice, big, false) == FinishReason::stop);
  Direct throwing("c", [](Request, std::shared_ptr<Sink>) -> Call { throw 42; });
  CHECK(counted(throwing, big, false) == FinishReason::stop);  // the next tier answers
  CHECK(counted(big, throwing, false) == FinishReason::stop);  // the kept answer
  CHECK(counted(throwing, throwing, false) == FinishReason::refused);
}

TEST_CASE("a caller whose on_delta throws gets its Finish, as cancelled") {
  Direct small = says("small", "maybe"), big = says("big", "certainly");
  Cascade cascade({.tiers = {&small, &big}, .policy = margin_threshold(0.0)});
  auto sink = std::make_shared<Counting>();
  sink->throws = true;
  cascade.start(ask(), sink);
  CHECK(sink->finishes == 1);
  CHECK(sink->end.reason == FinishReason::cancelled);
  CHECK(sink->end.detail.find("on_delta threw") != std::string::npos);
}

TEST_CASE("a policy that watches may abandon a running answer, and learns of it") {
  CannedEndpoint small("small", {{"um", " er", " well"}, 0.9F}), big("big", {{"certainly"}, 0.9F});
  auto policy = std::make_shared<Policy>();
  policy->judging = [](const AttemptView&) { return Verdict{}; };
  std::vector<std::string> seen;
  policy->watching = [&](const AttemptView& a) {
    CHECK_FALSE(a.finish);
    seen.emplace_back(a.text);
    return a.text == "um er" ? Verdict{.next = 1, .score = 0.2} : Verdict{};
  };
  std::vector<std::string> learned;
  policy->learning = [&](const CascadeOutcome& o) {
    for (const TryOutcome& t : o.tries) learned.push_back(std::string(t.text) + "|" + std::string(to_string(t.finish)));
    CHECK(o.given == 1);
    CHECK(o.tries[0].score == 0.2);
  };
  Cascade cascade({.tiers = {&small, &big}, .policy = policy});
  const Answer answer = cascade.run(ask());
  CHECK(answer.text == "certainly");
  CHECK(seen == std::vector<std::string>{"um", "um er"});
  CHECK(learned == std::vector<std::string>{"um er|cancelled", "certainly|stop"});
  REQUIRE(answer.finish.ledger.attempts.size() == 2);
  CHECK(answer.finish.ledger.attempts[0].score == 0.2);
  CHECK(answer.finish.ledger.attempts[0].usage.output == 2);
  CHECK(big.requests[0].draft.text == "um er");
}

TEST_CASE("what a watching or learning policy throws: the one ends its request by name, the other costs nothing") {
  CannedEndpoint small("small", {{"um", "er"}}), big("big", {{"certainly"}});
  auto policy = std::make_shared<Policy>();
  policy->judging = [](const AttemptView&) { return Verdict{}; };
  policy->learning = [](const CascadeOutcome&) { throw 42; };
  std::vector<std::string> lines;
  Cascade cascade({.tiers = {&small, &big}, .policy = policy, .log = [&](LogLevel, std::uint64_t, std::string_view l) {
                     lines.emplace_back(l);
                   }});
  CHECK(cascade.run(ask()).text == "umer");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("cascade policy test") != std::string::npos);
  policy->watching = [](const AttemptView&) -> Verdict { throw std::string("no idea"); };
  const Finish end = cascade.run(ask()).finish;
  CHECK(end.reason == FinishReason::error);
  REQUIRE(end.error);
  CHECK(end.error->code() == Errc::policy);
  CHECK(mentions(*end.error, "cascade policy test: no idea"));
}

TEST_CASE("a cascade whose tier is gone answers with those that are left") {
  Direct big = says("big", "certainly");
  std::optional<Direct> small(std::in_place, "small", says("small", "maybe").behaviour);
  Cascade cascade({.tiers = {&*small, &big}, .policy = margin_threshold(0.5)});
  small.reset();
  const Answer answer = cascade.run(ask());
  CHECK(answer.text == "certainly");
  CHECK(cascade.step() == Progress::idle);
  CHECK(cascade.load().accepting);      // one tier is left
  CHECK_FALSE(cascade.load().running);  // which does not tell
}

namespace {

/// Tells its model and its prompt, as an engine does.
struct Modelled final : Endpoint {
  Modelled(std::string n, std::size_t p) : label(std::move(n)), prompt(p, 1) {}
  std::string_view name() const override { return label; }
  std::vector<std::string> may_answer(std::string_view model) const override {
    return model.empty() || model == label ? std::vector<std::string>{label} : std::vector<std::string>();
  }
  Call start(Request, std::shared_ptr<Sink> sink) override {
    try {
      sink->on_prompt(prompt);
    } catch (const Error& error) {
      Finish end;
      end.reason = FinishReason::refused;
      end.error = error;
      sink->on_finish(end);
      return {};
    }
    ++begun;
    sink->on_delta({label + "!", {1}, {}});
    sink->on_finish(ended(FinishReason::stop, {.input = prompt.size(), .output = 1}, label));
    return {};
  }
  Progress step() override { return Progress::idle; }
  std::string label;
  std::vector<Token> prompt;
  int begun = 0;
};

BudgetedOptions two_prices() {
  return {.prices = PriceBook().with("small", {.input = 1e6, .output = 1e6}).with("big", {.input = 1e7, .output = 1e7}),
          .model = "small",
          .tokens_per_message = 0};
}

}  // namespace

TEST_CASE("a budget over a cascade reserves for the most expensive model that may answer, whichever is asked for") {
  Modelled small("small", 4), big("big", 4);
  Cascade cascade({.tiers = {&small, &big}, .policy = std::make_shared<Policy>()});
  CHECK(cascade.may_answer("small") == std::vector<std::string>{"small", "big"});
  CHECK(cascade.may_answer("nobody").empty());
  Budget budget({.limits = {{.usd = 60}}});  // one try of big costs up to (4 + 5) * 10
  Budgeted endpoint(cascade, budget, two_prices());
  Request request = ask("small");
  request.max_tokens = 5;
  const Finish end = endpoint.run(request).finish;
  CHECK(end.reason == FinishReason::refused);
  CHECK(end.error->code() == Errc::over_budget);
  CHECK_FALSE(is_retryable(end.error->code()));
  CHECK(small.begun + big.begun == 0);
  CHECK(budget.state()[0].spent == 0);
}

TEST_CASE("an escalation that does not fit the budget leaves the answer that was paid for") {
  Modelled small("small", 4), big("big", 4);
  Cascade cascade({.tiers = {&small, &big}, .policy = std::make_shared<Policy>()});
  Budget budget({.limits = {{.usd = 100}}});  // one try fits, two do not
  Budgeted endpoint(cascade, budget, two_prices());
  Request request = ask();
  request.max_tokens = 5;
  const Answer answer = endpoint.run(request);
  CHECK(answer.text == "small!");
  CHECK(answer.finish.reason == FinishReason::stop);
  CHECK(answer.finish.detail.find("escalation to big was refused") != std::string::npos);
  CHECK(small.begun == 1);
  CHECK(big.begun == 0);
  CHECK(budget.state()[0].spent == Approx(5));
  CHECK(budget.state()[0].reserved == 0);
  CHECK(budget.state()[0].overdraft == 0);
}

TEST_CASE("any deadline is arithmetic a budget can do") {
  Modelled small("small", 4);
  for (const TimePoint deadline : {TimePoint::min(), TimePoint::max(), TimePoint{}}) {
    Budget budget({.limits = {{.usd = 100}}});
    Budgeted endpoint(small, budget, two_prices());
    Request request = ask();
    request.max_tokens = 5;
    request.deadline = deadline;
    CHECK(endpoint.run(request).finish.reason == FinishReason::stop);
    CHECK(budget.state()[0].spent == Approx(5));
  }
}

TEST_CASE("a clock that throws costs a budgeted request neither its Finish nor the budget its money") {
  Modelled small("small", 4);
  Budget budget({.limits = {{.usd = 100}}});
  BudgetedOptions options = two_prices();
  bool throws = false;
  options.now = [&]() -> std::chrono::sys_seconds {
    if (throws) throw 42;
    throws = true;
    return {};
  };
  Budgeted endpoint(small, budget, options);
  Request request = ask();
  request.max_tokens = 5;
  CHECK(endpoint.run(request).finish.reason == FinishReason::stop);
  CHECK(budget.state()[0].spent == Approx(9));  // a bill that cannot be made is taken to be the highest
  CHECK(endpoint.run(request).finish.reason == FinishReason::refused);
}

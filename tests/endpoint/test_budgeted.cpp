#include <frugal/endpoint/budgeted.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <optional>
#include <vector>

#include "endpoint/canned_endpoint.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using Catch::Approx;

namespace {

BudgetedOptions dollar_a_token() {
  return {.prices = PriceBook().with("m", {.input = 1e6, .output = 1e6}), .model = "m", .tokens_per_message = 0};
}

Request ask(std::uint32_t max_tokens = 5) { return {.prompt = RawPrompt{"why?"}, .max_tokens = max_tokens}; }

double reserved(const Budget& b) { return b.state()[0].reserved; }
double spent(const Budget& b) { return b.state()[0].spent; }

/// Tells of its prompt, says one token a step, and ends without any usage: a stream that broke off.
struct Remote final : Endpoint {
  std::string_view name() const override { return "remote"; }
  Call start(Request, std::shared_ptr<Sink> s) override {
    sink = std::move(s);
    if (!prompt.empty()) sink->on_prompt(prompt);
    return Call([this] { cancelled = true; });
  }
  bool step() override {
    if (!sink) return false;
    if (!cancelled) return sink->on_delta({"x", {1}, {}}), true;
    Finish end;
    end.reason = FinishReason::cancelled;
    std::exchange(sink, nullptr)->on_finish(end);
    return true;
  }
  std::shared_ptr<Sink> sink;
  std::vector<Token> prompt;
  bool cancelled = false;
};

}  // namespace

TEST_CASE("the most a request may cost is set aside while it runs, and what it did cost is booked") {
  CannedEndpoint inner("m", {{"a", "b"}, 1, FinishReason::stop, 3});
  Budget budget({.limits = {{.usd = 20}}});
  Budgeted endpoint(inner, budget, dollar_a_token());
  Stream stream = endpoint.submit(ask());
  CHECK(reserved(budget) == Approx(4 + 5));  // four bytes of prompt are at most four tokens
  CHECK(stream.wait().text == "ab");
  CHECK(reserved(budget) == 0);
  CHECK(spent(budget) == Approx(3 + 2));
}

TEST_CASE("what does not fit is refused before it starts, and the next smaller request may still go") {
  CannedEndpoint inner("m", {{"a"}, 1, FinishReason::stop, 4});
  Budget budget({.limits = {{.usd = 8}}});
  Budgeted endpoint(inner, budget, dollar_a_token());
  const Finish refused = endpoint.run(ask()).finish;
  CHECK(refused.reason == FinishReason::refused);
  CHECK(refused.error->code() == Errc::busy);
  CHECK(inner.requests.empty());
  CHECK(endpoint.run(ask(3)).finish.reason == FinishReason::stop);
  CHECK(spent(budget) == Approx(5));
}

TEST_CASE("a cancelled stream pays for the tokens that were counted") {
  Remote remote;
  Budget budget({.limits = {{.usd = 100}}});
  Budgeted endpoint(remote, budget, dollar_a_token());
  Stream stream = endpoint.submit(ask(50));
  for (int i = 0; i < 7; ++i) static_cast<void>(stream.next());
  stream.cancel();
  CHECK(stream.wait().finish.reason == FinishReason::cancelled);
  CHECK(reserved(budget) == 0);
  CHECK(spent(budget) == Approx(4 + 7));  // the prompt by its estimate, since nobody told its length
}

TEST_CASE("a prompt's true length replaces the estimate") {
  Remote remote;
  remote.prompt = {1, 2};
  Budget budget({.limits = {{.usd = 100}}});
  Budgeted endpoint(remote, budget, dollar_a_token());
  Stream stream = endpoint.submit(ask(50));
  CHECK(reserved(budget) == Approx(2 + 50));
  stream.cancel();
  CHECK(stream.wait().finish.reason == FinishReason::cancelled);
  CHECK(spent(budget) == 0);  // nothing was answered and nothing reported
}

TEST_CASE("a prompt that turns out too long for the budget is given up") {
  Remote remote;
  remote.prompt.assign(200, 1);
  Budget budget({.limits = {{.usd = 100}}});
  BudgetedOptions options = dollar_a_token();
  options.tokens_per_byte = 0.5;
  Budgeted endpoint(remote, budget, options);
  const Finish end = endpoint.run(ask(50)).finish;
  CHECK(end.reason == FinishReason::refused);
  CHECK(end.error->code() == Errc::busy);
  CHECK(reserved(budget) == 0);
}

TEST_CASE("a request without any limit of its own, or without a price, is refused under the default rules") {
  CannedEndpoint inner("m", {{"a"}, 1});
  Budget budget({.limits = {{.usd = 8}}});
  Budgeted endpoint(inner, budget, dollar_a_token());
  CHECK(mentions(*endpoint.run(ask(0)).finish.error, "max_tokens"));
  Request stranger = ask();
  stranger.model = "stranger";
  CHECK(mentions(*endpoint.run(stranger).finish.error, "stranger"));
  CHECK(inner.requests.empty());
  CHECK(error_of([&] { Budgeted b(inner, budget, {.tokens_per_byte = 0}); }).code() == Errc::invalid_argument);
}

TEST_CASE("a refusal by the endpoint costs nothing") {
  CannedEndpoint inner("m", {{}, 1, FinishReason::refused});
  Budget budget({.limits = {{.usd = 20}}});
  Budgeted endpoint(inner, budget, dollar_a_token());
  CHECK(endpoint.run(ask()).finish.reason == FinishReason::refused);
  CHECK(spent(budget) == 0);
  CHECK(reserved(budget) == 0);
}

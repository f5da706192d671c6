#include "tools/report.hpp"

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

using namespace frugal;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

Answer sample() {
  Answer answer{.text = "Paris.", .tokens = {7042, 30, 2}};
  answer.finish.model = "m";
  answer.finish.seed = 9;
  answer.finish.usage = {.input = 37, .cached_read = 32, .output = 3};
  answer.finish.timing = {.queue = 1ms, .ttft = 10ms, .e2e = 30ms};
  const TokenLedger tokens{.prompt_computed = 5, .prompt_cached = 32, .decoded = 3, .passes = 4, .rows = 8};
  answer.finish.ledger.attempts = {
      {.endpoint = "engine", .model = "m", .usage = answer.finish.usage, .tokens = tokens}};
  DraftLedger& drafts = answer.finish.ledger.attempts[0].drafts;
  drafts.drafted = 5, drafts.verified = 4, drafts.accepted = 3, drafts.passes = 2, drafts.catch_up = 7;
  drafts.verified_at = {2, 2}, drafts.accepted_at = {2, 1}, drafts.verify_time = 4ms, drafts.saved = -1ms;
  return answer;
}

}  // namespace

TEST_CASE("an answer becomes one line of JSON with its ids, times and account") {
  const std::string line = tools::answer_as_json(sample(), false, nullptr);
  CHECK(line.find('\n') == std::string::npos);
  const json object = json::parse(line);
  CHECK(object["ids"] == json({7042, 30, 2}));
  CHECK(object["text"] == "Paris.");
  CHECK(object["finish"] == "stop");
  CHECK(object["seed"] == 9);
  CHECK(object["usage"]["input"] == 37);
  CHECK(object["usage"]["cached_read"] == 32);
  CHECK(object["usage"]["output"] == 3);
  CHECK(object["timing"]["ttft_ms"] == 10.0);
  CHECK(object["timing"]["tpot_ms"] == 10.0);  // (30 - 10) / (3 - 1)
  CHECK(object["ledger"]["attempts"][0]["tokens"]["prompt_cached"] == 32);
  CHECK(object["ledger"]["total"]["decoded"] == 3);
  const json drafts = object["ledger"]["drafts"];
  CHECK(drafts["drafted"] == 5);
  CHECK(drafts["verified"] == 4);
  CHECK(drafts["accepted"] == 3);
  CHECK(drafts["wasted"] == 2);
  CHECK(drafts["passes"] == 2);
  CHECK(drafts["catch_up"] == 7);
  CHECK(drafts["verified_at"] == json({2, 2}));
  CHECK(drafts["accepted_at"] == json({2, 1}));
  CHECK(drafts["verify_ms"] == 4.0);
  CHECK(drafts["saved_ms"] == -1.0);
  CHECK_FALSE(object.contains("error"));
  CHECK_FALSE(object.contains("logprobs"));
}

TEST_CASE("times that are not defined are null") {
  Answer answer = sample();
  answer.tokens = {};
  answer.finish.usage.output = 0;
  answer.finish.timing.ttft = {};
  const json object = json::parse(tools::answer_as_json(answer, false, nullptr));
  CHECK(object["timing"]["ttft_ms"].is_null());
  CHECK(object["timing"]["tpot_ms"].is_null());
}

TEST_CASE("a failed answer carries code and message") {
  Answer answer = sample();
  answer.finish.reason = FinishReason::refused;
  answer.finish.error = Error(Errc::too_large, "37 tokens");
  const json object = json::parse(tools::answer_as_json(answer, false, nullptr));
  CHECK(object["finish"] == "refused");
  CHECK(object["error"] == json({{"code", "too_large"}, {"message", "37 tokens"}}));
}

TEST_CASE("log-probabilities come one entry a token, best first") {
  Answer answer = sample();
  answer.scores = {{.token = 7042, .logprob = -0.5F, .margin = 0.25F, .top = {{7042, -0.5F}, {30, -1.5F}}}};
  const json object = json::parse(tools::answer_as_json(answer, true, nullptr));
  REQUIRE(object["logprobs"].size() == 1);
  CHECK(object["logprobs"][0]["id"] == 7042);
  CHECK(object["logprobs"][0]["logprob"] == -0.5);
  CHECK(object["logprobs"][0]["top"] == json::parse(R"([{"id": 7042, "logprob": -0.5}, {"id": 30, "logprob": -1.5}])"));
}

// HttpBatchEndpoint under run_batch, against a provider with OpenAI's batch API. Whole runs of the program, kills and
// Anthropic's API: tests/tools/provider_batch.py.
#include <frugal/core/error.hpp>
#include <frugal/endpoint/batch.hpp>
#include <frugal/endpoint/metered.hpp>
#include <frugal/http/batch_endpoint.hpp>
#include <frugal/meter/meter.hpp>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "http/batch_api.hpp"
#include "http/easy.hpp"
#include "http/local_server.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

/// One batch at a time, which ends when `looks` looks have been taken.
struct Provider {
  std::mutex mutex{};
  std::vector<json> lines{};
  int batches = 0, looks = 0, needed = 1;
  std::string output{};

  void operator()(Connection& c) {
    const std::lock_guard lock(mutex);
    const std::string head = c.head().substr(0, c.head().find(" HTTP"));
    if (head == "POST /v1/files") return upload(c);
    if (head == "POST /v1/batches") {
      ++batches;
      looks = 0;
      c.answer(200, R"({"id": "batch_1", "status": "validating"})");
    } else if (head == "GET /v1/batches/batch_1") {
      const bool ended = ++looks >= needed;
      c.answer(200, ended ? R"({"id": "batch_1", "status": "completed", "output_file_id": "o"})"
                          : R"({"id": "batch_1", "status": "in_progress"})");
    } else if (head == "GET /v1/files/o/content") {
      c.answer(200, output);
    } else {
      c.answer(404, R"({"error": {"message": "not here"}})");
    }
  }

  void upload(Connection& c) {
    lines.clear();
    output.clear();
    std::size_t at = 0;
    while ((at = c.body().find("{\"custom_id\"", at)) != std::string::npos) {
      const std::size_t end = c.body().find('\n', at);
      lines.push_back(json::parse(c.body().substr(at, end - at)));
      at = end;
    }
    for (const json& line : lines) {
      const json message{{"role", "assistant"},
                         {"content", "to " + line["body"]["messages"][0]["content"].get<std::string>()}};
      const json body{{"model", "gpt-4o-mini"},
                      {"choices", json::array({{{"message", message}, {"finish_reason", "stop"}}})},
                      {"usage", {{"prompt_tokens", 1000}, {"completion_tokens", 100}}}};
      output +=
          json{{"custom_id", line["custom_id"]}, {"response", {{"status_code", 200}, {"body", body}}}}.dump() + "\n";
    }
    c.answer(200, R"({"id": "file_1"})");
  }
};

HttpBatchOptions options(const LocalServer& server) {
  HttpBatchOptions o;
  o.http.name = "batches";
  o.http.url = server.url();
  o.http.model = "gpt-4o-mini";
  o.http.retries.base = 2ms;
  o.poll = 10ms;
  o.linger = 20ms;
  return o;
}

Request ask(const std::string& text) {
  Request r;
  r.prompt = Chat{{{"user", text}}};
  r.max_tokens = 50;
  return r;
}

double bill_of(HttpBatchEndpoint& endpoint, bool batch) {
  Meter meter;
  Metered metered(endpoint, meter, {.batch = batch});
  std::vector<Request> requests;
  for (int i = 0; i < 6; ++i) requests.push_back(ask(std::to_string(i / 2)));
  std::vector<std::string> texts(6);
  BatchOptions how;
  how.in_flight = 6;
  how.on_answer = [&](std::size_t i, const Answer& a) {
    CHECK(a.finish.reason == FinishReason::stop);
    CHECK(a.finish.usage == Usage{.input = 1000, .output = 100});
    CHECK(a.finish.timing.in_one_piece);
    CHECK(a.finish.ledger.consistent());
    texts[i] = a.text;
  };
  CHECK(run_batch(metered, std::move(requests), how).done == 6);
  CHECK(texts == std::vector<std::string>{"to 0", "to 0", "to 1", "to 1", "to 2", "to 2"});
  const MeterStats total = meter.total().total();
  CHECK(total.unpriced == 0);
  return total.cost.total();
}

}  // namespace

TEST_CASE("a batch is one order, each request has its answer, and the bill is half of the usual one") {
  Provider provider;
  LocalServer server([&](Connection& c) { provider(c); });
  HttpBatchEndpoint endpoint(options(server));
  const double half = bill_of(endpoint, true);
  CHECK(provider.batches == 1);
  CHECK(provider.lines.size() == 6);
  CHECK_FALSE(provider.lines[0]["body"].contains("stream"));
  CHECK(provider.lines[0]["body"]["max_tokens"] == 50);
  CHECK(half > 0);
  CHECK(bill_of(endpoint, false) == 2 * half);
}

TEST_CASE("who cancels or is late does not wait for a batch, and the others get their answers") {
  Provider provider;
  provider.needed = 20;
  LocalServer server([&](Connection& c) { provider(c); });
  HttpBatchEndpoint endpoint(options(server));
  Request late = ask("late");
  late.deadline = steady_clock().now() + 60ms;
  Stream gone = endpoint.submit(ask("gone")), in_time = endpoint.submit(late), kept = endpoint.submit(ask("kept"));
  while (endpoint.load().running < 3U) std::this_thread::sleep_for(1ms);
  gone.cancel();
  CHECK(gone.wait().finish.reason == FinishReason::cancelled);
  CHECK(in_time.wait().finish.reason == FinishReason::deadline);
  CHECK(kept.wait().text == "to kept");
  CHECK(endpoint.load().running == 0);
}

TEST_CASE(
    "an endpoint that goes away ends what is live, and its heir in a state file gets the answers without an order") {
  const std::filesystem::path state = std::filesystem::temp_directory_path() / "frugal-batch-endpoint-test.state";
  std::filesystem::remove(state);
  Provider provider;
  provider.needed = 1'000'000;
  LocalServer server([&](Connection& c) { provider(c); });
  HttpBatchOptions o = options(server);
  o.state_file = state.string();
  std::atomic<int> cancelled{0};
  {
    HttpBatchEndpoint endpoint(o);
    for (int i = 0; i < 4; ++i)
      endpoint.submit(ask(std::to_string(i)), nullptr,
                      [&](const Finish& f) { cancelled += f.reason == FinishReason::cancelled ? 1 : 0; });
    while (endpoint.stats().batches == 0) std::this_thread::sleep_for(1ms);
  }
  CHECK(cancelled == 4);
  {
    const std::lock_guard lock(provider.mutex);
    provider.needed = 1;
  }
  {
    HttpBatchEndpoint heir(o);
    CHECK(heir.run(ask("2")).text == "to 2");
    CHECK(heir.stats().resumed == 1);
    CHECK(provider.batches == 1);
    CHECK(heir.run(ask("new")).text == "to new");
    CHECK(provider.batches == 2);
  }
  o.http.model = "another";
  CHECK(error_of([&] { HttpBatchEndpoint other(o); }).code() == Errc::bad_file);
  std::ofstream(state) << "{\"frugal_batches\": 1";
  CHECK(error_of([&] { HttpBatchEndpoint other(o); }).code() == Errc::bad_file);
  std::filesystem::remove(state);
}

TEST_CASE("options of a batch endpoint that make no sense are refused by name") {
  LocalServer server([](Connection&) {});
  const auto refused = [](const HttpBatchOptions& o, const char* what) {
    const Error error = error_of([&] { HttpBatchEndpoint endpoint(o); });
    CHECK(error.code() == Errc::invalid_argument);
    CHECK(mentions(error, what));
  };
  HttpBatchOptions o = options(server);
  o.poll = {};
  refused(o, "poll");
  o = options(server);
  o.most_requests = 0;
  refused(o, "most_requests");
}

TEST_CASE("a provider that asks for a pause gets it, and no pause holds up the endpoint's end") {
  const auto begun = std::chrono::steady_clock::now();
  const auto since = [&] { return std::chrono::steady_clock::now() - begun; };
  std::atomic<int> asked{0};
  std::atomic<std::int64_t> second_after{0};
  LocalServer busy([&](Connection& c) {
    const int number = ++asked;
    if (number == 2) second_after = std::chrono::duration_cast<std::chrono::milliseconds>(since()).count();
    c.answer(429, "{}", number == 1 ? "retry-after: 0.4\r\n" : "Retry-After: 15\r\n");
  });
  HttpBatchOptions o = options(busy);
  o.http.retries.most = 5;
  auto endpoint = std::make_unique<HttpBatchEndpoint>(std::move(o));
  Stream stream = endpoint->submit(ask("x"));
  for (int i = 0; i < 1000 && asked < 2; ++i) std::this_thread::sleep_for(5ms);
  CHECK(asked == 2);
  CHECK(second_after >= 400);
  std::this_thread::sleep_for(50ms);  // it waits for fifteen seconds now
  const auto asked_to_end = std::chrono::steady_clock::now();
  endpoint.reset();
  CHECK(std::chrono::steady_clock::now() - asked_to_end < 5s);
  CHECK(stream.wait().finish.reason == FinishReason::cancelled);
}

TEST_CASE("a Retry-After is read as seconds or as a date, and nonsense is none") {
  using frugal::http::retry_after_in;
  CHECK(retry_after_in("Retry-After: 2\r\n") == Duration(2s));
  CHECK(retry_after_in("retry-after:0.5\r\n") == Duration(500ms));
  CHECK(retry_after_in("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n") == Duration(0s));
  CHECK_FALSE(retry_after_in("Retry-After: Wed, 21 Oct 2115 07:28:00 GMT\r\n"));
  for (const char* line : {"Retry-After: soon\r\n", "Retry-After: -1\r\n", "Retry-After: nan\r\n",
                           "Retry-After: 1e9\r\n", "Retry-After:\r\n", "X-Retry-After: 2\r\n", "Retry-Afte: 2\r\n"})
    CHECK_FALSE(retry_after_in(line));
}

namespace {

// What a batch's line says, by the reader of the same API's streams.
struct Read {
  std::string text{}, reasoning{};
  http::Progressed progress{};
};
Read read(HttpApi api, const std::string& line) {
  const std::optional<http::BatchResult> result = http::batch_api_of(api).read(line, "e");
  REQUIRE(result);
  CHECK(result->id == "x");
  CHECK_FALSE(result->error);
  const auto reader = http::api_of(api).reader(ask("?"));
  Read out;
  for (const http::SseEvent& event : result->events) {
    const Delta delta = reader->event(event);
    out.text += delta.text, out.reasoning += delta.reasoning;
  }
  out.progress = reader->progress();
  return out;
}

}  // namespace

TEST_CASE("a response out of a batch is read as a stream of it would be") {
  const Read got = read(HttpApi::openai_responses, R"({"custom_id": "x", "response": {"status_code": 200, "body":
    {"status": "completed", "model": "m-1", "output": [
      {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
      {"type": "message", "content": [{"type": "output_text", "text": "Let me look."}]},
      {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}],
     "usage": {"input_tokens": 7, "output_tokens": 9}}}})");
  CHECK(got.text == "Let me look.");
  CHECK(got.reasoning == "Hm.");
  CHECK(got.progress.ended);
  CHECK(got.progress.detail == "tool_calls");
  REQUIRE(got.progress.tool_calls.size() == 1);
  CHECK(got.progress.tool_calls[0].arguments == "{}");
  CHECK(got.progress.usage == Usage{.input = 7, .output = 9});
  const Read cut = read(HttpApi::openai_responses, R"({"custom_id": "x", "response": {"status_code": 200, "body":
    {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}}})");
  CHECK(cut.progress.reason == FinishReason::length);
}

TEST_CASE("thoughts come out of a batch, too") {
  const Read chat = read(HttpApi::openai_chat, R"({"custom_id": "x", "response": {"status_code": 200, "body":
    {"choices": [{"message": {"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}, "finish_reason": "stop"}]}}})");
  CHECK(chat.text == "4");
  CHECK(chat.reasoning == "2 + 2");
  const Read claude = read(HttpApi::anthropic_messages, R"({"custom_id": "x", "result": {"type": "succeeded", "message":
    {"model": "m", "stop_reason": "end_turn", "content": [{"type": "thinking", "thinking": "2 + 2"}, {"type": "text", "text": "4"}]}}})");
  CHECK(claude.text == "4");
  CHECK(claude.reasoning == "2 + 2");
}

TEST_CASE("a stop text ends an answer out of a batch, and a line that is an error is kept") {
  Provider provider;
  LocalServer server([&](Connection& c) {
    provider(c);
    if (provider.lines.size() == 2 && provider.output.find("boom") == std::string::npos)
      provider.output.replace(provider.output.find("\"response\""),
                              provider.output.find('\n') - provider.output.find("\"response\"") - 1,
                              R"("error": {"message": "boom"})");
  });
  HttpBatchEndpoint endpoint(options(server));
  std::vector<Request> requests{ask("first"), ask("second")};
  for (Request& r : requests) r.stop = {"seco"};
  std::vector<Answer> answers(2);
  BatchOptions how;
  how.in_flight = 2;
  how.on_answer = [&](std::size_t i, const Answer& a) { answers[i] = a; };
  run_batch(endpoint, std::move(requests), how);
  const std::size_t failed = answers[0].finish.error ? 0 : 1;
  CHECK(answers[failed].finish.raw.find("boom") != std::string::npos);
  const Answer& other = answers[1 - failed];
  if (failed == 0) {
    CHECK(other.text == "to ");
    CHECK(other.finish.detail == "seco");
  } else {
    CHECK(other.text == "to first");
  }
  CHECK(other.finish.reason == FinishReason::stop);
  CHECK(other.finish.usage == Usage{.input = 1000, .output = 100});
}

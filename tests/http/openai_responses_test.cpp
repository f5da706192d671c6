// The responses and the plain completions dialects: what is sent, what is read, what is refused. Payloads are written
// after the API's reference.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "http/api.hpp"
#include "http/schema_source.hpp"

using namespace frugal;
using namespace frugal::http;
using Catch::Matchers::WithinAbs;

namespace {

HttpOptions options(HttpApi api) {
  HttpOptions o;
  o.name = "remote";
  o.api = api;
  o.url = "http://host/v1";
  o.model = "m";
  return o;
}

Request ask() {
  Request r;
  r.prompt = Chat{{{"system", "Be brief."}, {"user", "Hi"}}};
  return r;
}

Request raw(std::string text) {
  Request r;
  r.prompt = RawPrompt{.text = std::move(text)};
  return r;
}

nlohmann::json sent(const Api& api, HttpApi which, const Request& r) {
  return nlohmann::json::parse(api.post(r, options(which)).value().body);
}

std::string refused(const Api& api, HttpApi which, const Request& r) {
  const expected<Post> post = api.post(r, options(which));
  return post ? "taken" : post.error().message();
}

}  // namespace

TEST_CASE("responses: a conversation becomes items, and nothing is stored") {
  Request r = ask();
  r.max_tokens = 9;
  Chat& chat = std::get<Chat>(r.prompt);
  chat.tools = R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])";
  Message call{.role = "assistant", .content = "Let me look."};
  call.tool_calls = {{"c1", "f", R"({"x": 1})", {}}};
  Message result{.role = "tool", .content = "3"};
  result.tool_call_id = "c1";
  chat.messages.push_back(call);
  chat.messages.push_back(result);
  CHECK(sent(openai_responses(), HttpApi::openai_responses, r) ==
        nlohmann::json::parse(R"({"model": "m", "store": false,
    "stream": true, "temperature": 0.0, "max_output_tokens": 9,
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "input": [{"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
      {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
      {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
      {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"x\": 1}"},
      {"type": "function_call_output", "call_id": "c1", "output": "3"}]})"));
  CHECK(openai_responses().post(ask(), options(HttpApi::openai_responses)).value().url == "http://host/v1/responses");
}

TEST_CASE("responses: what the API has no field for is refused") {
  const auto why = [](const Request& r) { return refused(openai_responses(), HttpApi::openai_responses, r); };
  Request seed = ask(), penalty = ask();
  seed.sampling.seed = 1;
  penalty.sampling.presence_penalty = 1;
  CHECK(why(seed).find("seed") != std::string::npos);
  CHECK(why(penalty).find("penalties") != std::string::npos);
  CHECK(why(raw("x")).find("Chat") != std::string::npos);
}

TEST_CASE("responses: text, scores, calls and usage are read") {
  const auto reader = openai_responses().reader(ask());
  const auto say = [&](const std::string& json) { return reader->event({"", json}); };
  say(R"({"type": "response.created", "response": {"model": "m-1", "status": "in_progress"}})");
  const Delta delta =
      say(R"({"type": "response.output_text.delta", "output_index": 0, "delta": "Hel", "logprobs": [{"token": "Hel",
    "logprob": -0.25, "top_logprobs": [{"token": "Hel", "logprob": -0.25}, {"token": "x", "logprob": -2}]}]})");
  CHECK(delta.text == "Hel");
  REQUIRE(delta.scores.size() == 1);
  CHECK_THAT(delta.scores[0].margin, WithinAbs(0.7788 - 0.1353, 1e-3));
  say(R"({"type": "response.output_text.done", "text": "Hel"})");
  say(R"({"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "id": "fc", "call_id": "c1",
    "name": "f", "arguments": ""}})");
  say(R"({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{\"x\""})");
  say(R"({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": ": 1}"})");
  say(R"({"type": "response.completed", "response": {"model": "m-1", "status": "completed", "usage": {"input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 30}, "output_tokens": 87, "output_tokens_details": {"reasoning_tokens": 40},
    "total_tokens": 123}}})");
  const Progressed& p = reader->progress();
  CHECK(p.ended);
  CHECK(p.reason == FinishReason::stop);
  CHECK(p.detail == "tool_calls");
  CHECK(p.usage == Usage{.input = 36, .cached_read = 30, .output = 87, .reasoning = 40});
  REQUIRE(p.tool_calls.size() == 1);
  CHECK(p.tool_calls[0].id == "c1");
  CHECK(p.tool_calls[0].arguments == R"({"x": 1})");
}

TEST_CASE("responses: limits, failures and nonsense end the answer") {
  const auto ended = [](const std::string& json) {
    const auto reader = openai_responses().reader(ask());
    reader->event({"", json});
    return reader->progress();
  };
  CHECK(ended(R"({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}})")
            .reason == FinishReason::length);
  CHECK(ended(R"({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "content_filter"}}})")
            .detail == "content_filter");
  CHECK(ended(R"({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "no"}}})")
            .error->code() == Errc::busy);
  CHECK(ended(R"({"type": "error", "message": "broken"})").error->message() == "broken");
  CHECK(ended("<html>").error.has_value());
  CHECK(ended("<html>").raw == "<html>");
  CHECK(ended(R"({"type": "error", "message": "broken"})").raw == R"({"type": "error", "message": "broken"})");
}

TEST_CASE("responses: thoughts and their summaries are told from the answer") {
  for (const char* type : {"response.reasoning_text.delta", "response.reasoning_summary_text.delta"}) {
    const auto reader = openai_responses().reader(ask());
    const Delta out = reader->event({"", R"({"type": ")" + std::string(type) + R"(", "delta": "Hm."})"});
    CHECK(out.reasoning == "Hm.");
    CHECK(out.text.empty());
  }
}

TEST_CASE("completions: the prompt goes as it is, and the answer comes back") {
  Request r = raw("Once");
  r.logprobs = 2;
  r.stop = {"\n"};
  CHECK(sent(openai_completions(), HttpApi::openai_completions, r) ==
        nlohmann::json::parse(R"({"model": "m", "prompt": "Once",
    "max_tokens": 4096, "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.0, "logprobs": 2, "stop": ["\n"]})"));
  CHECK(refused(openai_completions(), HttpApi::openai_completions, ask()).find("RawPrompt") != std::string::npos);
  const auto reader = openai_completions().reader(r);
  const Delta delta =
      reader->event({"", R"({"model": "m-1", "choices": [{"text": " upon", "index": 0, "finish_reason": null,
    "logprobs": {"tokens": [" upon"], "token_logprobs": [-0.5], "top_logprobs": [{" upon": -0.5, " a": -1.5}]}}]})"});
  CHECK(delta.text == " upon");
  REQUIRE(delta.scores.size() == 1);
  CHECK(delta.scores[0].logprob == -0.5F);
  CHECK(delta.scores[0].margin > 0.3F);
  reader->event({"", R"({"choices": [{"text": "", "finish_reason": "length"}]})"});
  reader->event({"", R"({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 5}})"});
  reader->event({"", "[DONE]"});
  CHECK(reader->progress().ended);
  CHECK(reader->progress().reason == FinishReason::length);
  CHECK(reader->progress().usage == Usage{.input = 1, .output = 5});
}

TEST_CASE("responses: a schema and an effort have fields of their own; completions have neither") {
  HttpOptions o = options(HttpApi::openai_responses);
  o.effort = "high";
  const nlohmann::json body =
      nlohmann::json::parse(openai_responses().post(testing::with_schema(ask()), o).value().body);
  CHECK(body["text"]["format"]["type"] == "json_schema");
  CHECK(body["text"]["format"]["strict"] == true);
  CHECK(body["text"]["format"]["schema"] == nlohmann::json::parse(testing::person_schema));
  CHECK(body["reasoning"]["effort"] == "high");
  CHECK(sent(openai_responses(), HttpApi::openai_responses,
             testing::with_schema(ask(), R"({"type":"object"})"))["text"]["format"] ==
        nlohmann::json{{"type", "json_object"}});
  CHECK(
      refused(openai_completions(), HttpApi::openai_completions, testing::with_schema(raw("x"))).find("constraints") !=
      std::string::npos);
}

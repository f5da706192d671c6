// The messages dialect: what is sent, what is read, what is refused. Payloads are written after the API's reference.
#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "http/api.hpp"
#include "http/schema_source.hpp"

using namespace frugal;
using namespace frugal::http;

namespace {

HttpOptions options() {
  HttpOptions o;
  o.name = "claude";
  o.url = "http://host/v1";
  o.model = "m";
  o.api = HttpApi::anthropic_messages;
  return o;
}

nlohmann::json sent(Chat chat) {
  Request r;
  r.prompt = std::move(chat);
  return nlohmann::json::parse(anthropic_messages().post(r, options()).value().body);
}

Request ask() {
  Request r;
  r.prompt = Chat{{{"user", "Hi"}}};
  return r;
}

}  // namespace

TEST_CASE("messages: system texts have their own field, turns alternate, a limit is always sent") {
  const nlohmann::json body =
      sent({{{"system", "One."}, {"user", "a"}, {"user", "b"}, {"assistant", "c"}, {"system", "Two."}, {"user", "d"}}});
  CHECK(body["system"] ==
        nlohmann::json::parse(R"([{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}])"));
  CHECK(body["messages"].size() == 3);
  CHECK(body["messages"][0]["content"].size() == 2);
  CHECK(body["messages"][1]["role"] == "assistant");
  CHECK(body["max_tokens"] == 4096);
  CHECK(body["stream"] == true);
  CHECK(anthropic_messages().post(ask(), options()).value().headers.front().first == "anthropic-version");
}

TEST_CASE("messages: cache points become cache_control, the last four of them") {
  Chat chat;
  for (int i = 0; i < 6; ++i)
    chat.messages.push_back({.role = i % 2 == 0 ? "user" : "assistant", .content = "x", .cache_point = true});
  const nlohmann::json body = sent(chat);
  for (std::size_t i = 0; i < 6; ++i) CHECK(body["messages"][i]["content"][0].contains("cache_control") == (i >= 2));
  CHECK(body["messages"][5]["content"][0]["cache_control"]["type"] == "ephemeral");
}

TEST_CASE("messages: tools and their calls are translated") {
  Chat chat{
      {{.role = "user", .content = "Weather?"},
       {.role = "assistant", .content = "Let me see.", .tool_calls = {{"c1", "weather", R"({"at": "Rome"})"}}},
       {.role = "tool", .content = "sunny", .tool_call_id = "c1"}},
      R"([{"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}}}])"};
  const nlohmann::json body = sent(chat);
  CHECK(body["tools"][0] ==
        nlohmann::json::parse(R"({"name": "weather", "description": "d", "input_schema": {"type": "object"}})"));
  CHECK(body["messages"][1]["content"][1] ==
        nlohmann::json::parse(R"({"type": "tool_use", "id": "c1", "name": "weather", "input": {"at": "Rome"}})"));
  CHECK(body["messages"][2]["role"] == "user");
  CHECK(body["messages"][2]["content"][0] ==
        nlohmann::json::parse(R"({"type": "tool_result", "tool_use_id": "c1", "content": "sunny"})"));
}

TEST_CASE("messages: what the API has no field for is refused by name") {
  const auto refused = [](const Request& r, const char* what) {
    const expected<Post> post = anthropic_messages().post(r, options());
    REQUIRE_FALSE(post);
    CHECK(post.error().message().find(what) != std::string::npos);
  };
  Request r = ask();
  r.scores = true;  // as every tier of a cascade is asked: unknown here, and no reason to refuse
  CHECK(anthropic_messages().post(r, options()));
  r.logprobs = 0;
  refused(r, "log-probabilities");
  r = ask();
  r.sampling.presence_penalty = 1;
  refused(r, "penalties");
  r = ask();
  r.sampling.seed = 1;
  refused(r, "seed");
  r = ask();
  r.sampling.temperature = 1.5F;
  refused(r, "temperature");
}

TEST_CASE("messages: text, usage and the reason are read; input includes what was read from and written to the cache") {
  const auto reader = anthropic_messages().reader(ask());
  const auto say = [&](const std::string& json) { return reader->event({"", json}).text; };
  say(R"({"type": "message_start", "message": {"model": "m-1", "usage": {"input_tokens": 3, "cache_creation_input_tokens": 12304,
    "cache_read_input_tokens": 100, "output_tokens": 1}}})");
  say(R"({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})");
  say(R"({"type": "ping"})");
  CHECK(say(R"({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}})") ==
        "");
  CHECK(say(R"({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}})") == "Hel");
  CHECK(say(R"({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}})") == "lo");
  say(R"({"type": "content_block_stop", "index": 0})");
  say(R"({"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}, "usage": {"output_tokens": 550}})");
  say(R"({"type": "message_stop"})");
  const Progressed& p = reader->progress();
  CHECK(p.ended);
  CHECK(p.reason == FinishReason::stop);
  CHECK(p.detail == "END");
  CHECK(p.model == "m-1");
  CHECK(p.usage == Usage{.input = 12407, .cached_read = 100, .cache_write = 12304, .output = 550});
}

TEST_CASE("messages: a tool call comes in pieces of JSON") {
  const auto reader = anthropic_messages().reader(ask());
  const auto say = [&](const std::string& json) { return reader->event({"", json}).text; };
  say(R"({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}})");
  say(R"({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"at\":"}})");
  say(R"({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": " \"Rome\"}"}})");
  say(R"({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}})");
  REQUIRE(reader->progress().tool_calls.size() == 1);
  CHECK(reader->progress().tool_calls[0].name == "weather");
  CHECK(reader->progress().tool_calls[0].arguments == R"({"at": "Rome"})");
  CHECK(reader->progress().detail == "tool_use");
}

TEST_CASE("messages: an error event and nonsense end the answer with an error") {
  const auto overloaded = anthropic_messages().reader(ask());
  overloaded->event({"error", R"({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})"});
  CHECK(overloaded->progress().error->code() == Errc::busy);
  const auto nonsense = anthropic_messages().reader(ask());
  nonsense->event({"", "<html>"});
  CHECK(nonsense->progress().error.has_value());
  CHECK(nonsense->progress().raw == "<html>");
}

TEST_CASE("a status that is no success becomes an error with the API's own words") {
  CHECK(error_of_status(400, R"({"error": {"message": "bad field x"}})", "e").message() ==
        "endpoint e answered 400: bad field x");
  CHECK(error_of_status(429, "", "e").code() == Errc::busy);
  const std::string page = error_of_status(500, "<html>oops</html>", "e").message();
  CHECK(page == "endpoint e answered 500: in words that are not the API's; what came is in Finish::raw only");
  CHECK(error_of_status(500, "", "e").message() == "endpoint e answered 500");
  CHECK(error_of_status(
            401, R"({"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}})", "e")
            .code() == Errc::denied);
  CHECK(error_of_status(402, "", "e").code() == Errc::denied);
  CHECK(error_of_status(403, "", "e").code() == Errc::denied);
  CHECK(error_of_status(404, R"({"error": "no such model"})", "e").code() == Errc::denied);
  CHECK(worth_a_retry(503));
  CHECK_FALSE(worth_a_retry(400));
}

TEST_CASE("messages: a temperature goes only to models that take one") {
  const auto body_for = [](const std::string& model, std::optional<bool> takes = std::nullopt) {
    HttpOptions o = options();
    o.model = model;
    o.takes_sampling = takes;
    return nlohmann::json::parse(anthropic_messages().post(ask(), o).value().body);
  };
  for (const char* takes :
       {"m", "claude-2.1", "claude-instant-1.2", "claude-3-5-haiku-latest", "claude-3-opus-20240229", "claude-opus-4-1",
        "claude-sonnet-4-20250514", "claude-opus-4-6", "anthropic/claude-sonnet-4.5", "claude-haiku-4-5-20251001"})
    CHECK(body_for(takes).contains("temperature"));
  for (const char* refuses : {"claude-opus-4-7", "us.anthropic.claude-opus-4-8-v1:0", "claude-opus-5",
                              "claude-sonnet-5", "claude-haiku-4-6", "claude-fable-5", "claude-next"})
    CHECK_FALSE(body_for(refuses).contains("temperature"));
  CHECK(body_for("claude-next", true).contains("temperature"));
  CHECK_FALSE(body_for("claude-3-opus", false).contains("temperature"));
  HttpOptions o = options();
  o.model = "claude-opus-5";
  Request r = ask();
  r.sampling.temperature = 1;
  CHECK(anthropic_messages().post(r, o).has_value());
  r.sampling.temperature = 0.7F;
  CHECK(anthropic_messages().post(r, o).error().code() == Errc::unsupported);
  r.sampling.temperature = 0;
  r.sampling.top_k = 5;
  CHECK_FALSE(anthropic_messages().post(r, o).has_value());
}

TEST_CASE("messages: a schema and an effort go into output_config") {
  HttpOptions o = options();
  o.effort = "medium";
  const nlohmann::json body =
      nlohmann::json::parse(anthropic_messages().post(testing::with_schema(ask()), o).value().body);
  CHECK(
      body["output_config"] ==
      nlohmann::json{{"effort", "medium"},
                     {"format", {{"type", "json_schema"}, {"schema", nlohmann::json::parse(testing::person_schema)}}}});
}

TEST_CASE("messages: a budget for thinking is asked for, and what it excludes is refused") {
  HttpOptions o = options();
  o.thinking_tokens = 2000;
  Request r = ask();
  r.max_tokens = 2500;
  const auto refusal = [&] { return anthropic_messages().post(r, o).error().message(); };
  const nlohmann::json body = nlohmann::json::parse(anthropic_messages().post(r, o).value().body);
  CHECK(body["thinking"] == nlohmann::json{{"type", "enabled"}, {"budget_tokens", 2000}});
  CHECK_FALSE(body.contains("temperature"));
  r.sampling.temperature = 0.5F;
  CHECK(refusal().find("temperature") != std::string::npos);
  r.sampling = {.top_k = 3};
  CHECK(refusal().find("top_k") != std::string::npos);
  r.sampling = {};
  r.max_tokens = 2000;
  CHECK(refusal().find("max_tokens must be above thinking_tokens (2000)") != std::string::npos);
  r.max_tokens = 0;
  o.default_max_tokens = 2001;
  CHECK(anthropic_messages().post(r, o).has_value());
}

TEST_CASE("messages: thoughts are told from the answer, and both reports of usage are kept") {
  const auto reader = anthropic_messages().reader(ask());
  const auto say = [&](const std::string& json) { return reader->event({"", json}); };
  say(R"({"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 5, "output_tokens": 1, "service_tier": "standard"}}})");
  say(R"({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}})");
  const Delta thought = say(
      R"({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Let me see."}})");
  CHECK(thought.reasoning == "Let me see.");
  CHECK(thought.text.empty());
  const Delta text =
      say(R"({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "4"}})");
  CHECK(text.text == "4");
  CHECK(text.reasoning.empty());
  say(R"({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 3}})");
  say(R"({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}})");
  CHECK(reader->progress().raw ==
        "{\"input_tokens\":5,\"output_tokens\":1,\"service_tier\":\"standard\"}\n{\"output_tokens\":9}\n");
  Finish f;
  reader->tell(f);
  CHECK(f.usage == Usage{.input = 5, .output = 9});
  CHECK(f.raw == reader->progress().raw);
}

TEST_CASE("messages: a stop text of blanks, which the API refuses, is not sent") {
  Request r = ask();
  r.stop = {"\n\n", "END"};
  CHECK(nlohmann::json::parse(anthropic_messages().post(r, options()).value().body)["stop_sequences"] ==
        nlohmann::json{"END"});
  r.stop = {"\n"};
  CHECK_FALSE(nlohmann::json::parse(anthropic_messages().post(r, options()).value().body).contains("stop_sequences"));
}

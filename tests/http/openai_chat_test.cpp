// The chat completions dialect: what is sent, what is read, what is refused. Payloads are written after the API's
// reference.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <nlohmann/json.hpp>

#include "http/api.hpp"
#include "http/schema_source.hpp"

using namespace frugal;
using namespace frugal::http;
using Catch::Matchers::WithinAbs;

namespace {

HttpOptions options() {
  HttpOptions o;
  o.name = "remote";
  o.url = "http://host/v1";
  o.model = "m";
  return o;
}

Request ask() {
  Request r;
  r.prompt = Chat{{{"system", "Be brief."}, {"user", "Hi"}}};
  return r;
}

nlohmann::json sent(const Request& r, const HttpOptions& o = options()) {
  return nlohmann::json::parse(openai_chat().post(r, o).value().body);
}

std::string data(Reader& reader, const std::string& json) { return reader.event({"", json}).text; }

}  // namespace

TEST_CASE("chat completions: a request says what was asked and nothing else") {
  const nlohmann::json plain = sent(ask());
  CHECK(plain == nlohmann::json::parse(R"({"model": "m", "messages": [{"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"}], "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.0})"));
  CHECK(openai_chat().post(ask(), options()).value().url == "http://host/v1/chat/completions");

  Request r = ask();
  r.max_tokens = 7;
  r.stop = {"\n", "END"};
  r.sampling = {.temperature = 0.5F, .top_p = 0.75F, .presence_penalty = 0.25F, .frequency_penalty = 0.5F, .seed = 9};
  r.scores = true;
  const nlohmann::json all = sent(r);
  CHECK(all["max_tokens"] == 7);
  CHECK(all["stop"] == nlohmann::json({"\n", "END"}));
  CHECK(all["temperature"] == 0.5);
  CHECK(all["top_p"] == 0.75);
  CHECK(all["presence_penalty"] == 0.25);
  CHECK(all["frequency_penalty"] == 0.5);
  CHECK(all["seed"] == 9);
  CHECK(all["logprobs"] == true);
  CHECK(all["top_logprobs"] == 2);
  HttpOptions o = options();
  o.completion_tokens_field = true;
  CHECK(sent(r, o)["max_completion_tokens"] == 7);
  CHECK_FALSE(sent(r, o).contains("max_tokens"));
}

TEST_CASE("chat completions: tools and their calls go out as the API has them") {
  Request r;
  r.prompt = Chat{{{.role = "user", .content = "Weather?"},
                   {.role = "assistant", .content = "", .tool_calls = {{"c1", "weather", R"({"at": "Rome"})"}}},
                   {.role = "tool", .content = "sunny", .tool_call_id = "c1"}},
                  R"([{"type": "function", "function": {"name": "weather"}}])"};
  const nlohmann::json body = sent(r);
  CHECK(body["tools"][0]["function"]["name"] == "weather");
  CHECK(body["messages"][1]["content"].is_null());
  CHECK(body["messages"][1]["tool_calls"][0] ==
        nlohmann::json::parse(
            R"({"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"at\": \"Rome\"}"}})"));
  CHECK(body["messages"][2]["tool_call_id"] == "c1");
}

TEST_CASE("chat completions: what cannot be said is refused by name") {
  const auto refused = [](const Request& r, const char* what) {
    const expected<Post> post = openai_chat().post(r, options());
    REQUIRE_FALSE(post);
    CAPTURE(post.error().message());
    CHECK(post.error().message().find(what) != std::string::npos);
  };
  Request r = ask();
  r.prompt = TokenPrompt{{1, 2}};
  refused(r, "takes a Chat");
  r = ask();
  r.sampling.top_k = 4;
  refused(r, "extended_sampling");
  HttpOptions o = options();
  o.extended_sampling = true;
  CHECK(sent(r, o)["top_k"] == 4);
  r = ask();
  r.sampling.logit_bias = {{1, 2.0F}};
  refused(r, "logit_bias");
  r = ask();
  r.adapter = "a";
  refused(r, "adapters");
  r = ask();
  std::get<Chat>(r.prompt).tools = "{}";
  refused(r, "not a JSON array");
}

TEST_CASE("chat completions: pieces, reason, usage and model are read") {
  const auto reader = openai_chat().reader(ask());
  CHECK(
      data(
          *reader,
          R"({"model": "m-1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]})") ==
      "");
  CHECK(data(*reader, R"({"choices": [{"delta": {"content": "Hel"}, "finish_reason": null}]})") == "Hel");
  CHECK(data(*reader, R"({"choices": [{"delta": {"content": "lo"}, "finish_reason": null}]})") == "lo");
  CHECK(data(*reader, R"({"choices": [{"delta": {}, "finish_reason": "length"}]})") == "");
  CHECK_FALSE(reader->progress().usage);
  data(*reader, R"({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 130,
    "prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 12}}})");
  reader->event({"", "[DONE]"});
  const Progressed& p = reader->progress();
  CHECK(p.ended);
  CHECK(p.reason == FinishReason::length);
  CHECK(p.model == "m-1");
  CHECK(p.usage == Usage{.input = 100, .cached_read = 64, .output = 30, .reasoning = 12});
}

TEST_CASE("chat completions: thoughts have either of two names, and the last report of usage is kept as it came") {
  for (const char* name : {"reasoning_content", "reasoning"}) {
    const auto reader = openai_chat().reader(ask());
    const Delta out =
        reader->event({"", R"({"choices": [{"delta": {")" + std::string(name) + R"(": "Hm.", "content": null}}]})"});
    CHECK(out.reasoning == "Hm.");
    CHECK(out.text.empty());
    for (const char* cost : {"0.1", "0.2", "0.25"})  // the first and the last of many
      reader->event({"", R"({"choices": [], "usage": {"completion_tokens": 1, "cost": )" + std::string(cost) + "}}"});
    CHECK(reader->progress().raw ==
          "{\"completion_tokens\":1,\"cost\":0.1}\n{\"completion_tokens\":1,\"cost\":0.25}\n");
  }
}

TEST_CASE("chat completions: OpenAI takes four stop texts, other servers any number") {
  Request r = ask();
  r.stop = {"a", "b", "c", "d", "e"};
  HttpOptions o = options();
  CHECK(nlohmann::json::parse(openai_chat().post(r, o).value().body)["stop"] == nlohmann::json{"a", "b", "c", "d"});
  o.extended_sampling = true;
  CHECK(nlohmann::json::parse(openai_chat().post(r, o).value().body)["stop"].size() == 5);
}

TEST_CASE("chat completions: a tool call comes in pieces") {
  const auto reader = openai_chat().reader(ask());
  data(
      *reader,
      R"({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "weather", "arguments": ""}}]}}]})");
  data(*reader, R"({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{\"at\":"}}]}}]})");
  data(
      *reader,
      R"({"choices": [{"delta": {"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "time", "arguments": "{}"}}]}}]})");
  data(
      *reader,
      R"({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": " \"Rome\"}"}}]}, "finish_reason": "tool_calls"}]})");
  const Progressed& p = reader->progress();
  REQUIRE(p.tool_calls.size() == 2);
  CHECK(p.tool_calls[0].id == "c1");
  CHECK(p.tool_calls[0].name == "weather");
  CHECK(p.tool_calls[0].arguments == R"({"at": "Rome"})");
  CHECK(p.tool_calls[1].name == "time");
  CHECK(p.reason == FinishReason::stop);
  CHECK(p.detail == "tool_calls");
}

TEST_CASE("chat completions: margins follow from the two most likely tokens") {
  const auto reader = openai_chat().reader(ask());
  const Delta delta =
      reader->event({"", R"({"choices": [{"delta": {"content": "yes"}, "logprobs": {"content": [{"token": "yes",
    "logprob": -0.5, "top_logprobs": [{"token": "yes", "logprob": -0.5}, {"token": "no", "logprob": -1.5}]}]}}]})"});
  REQUIRE(delta.scores.size() == 1);
  CHECK(delta.scores[0].token == -1);
  CHECK(delta.scores[0].logprob == -0.5F);
  CHECK_THAT(delta.scores[0].margin, WithinAbs(0.606531 - 0.223130, 1e-5));
}

TEST_CASE("chat completions: nonsense is an error, never a crash or a figure") {
  for (const char* nonsense : {"", "{", "[]", "null", "\"text\"", "<html>"}) {
    const auto reader = openai_chat().reader(ask());
    reader->event({"", nonsense});
    CHECK(reader->progress().error.has_value());
  }
  for (const char* odd :
       {"{}", R"({"choices": {}})", R"({"choices": [1]})", R"({"choices": [{"delta": 3, "finish_reason": 4}]})",
        R"({"usage": {"prompt_tokens": -5, "completion_tokens": 1e300}})",
        R"({"choices": [{"delta": {"content": 5}}]})",
        R"({"choices": [{"delta": {"tool_calls": [{"index": 99999999999}, 3]}}]})",
        R"({"choices": [{"logprobs": {"content": [3, {"logprob": "x"}]}}]})"}) {
    const auto reader = openai_chat().reader(ask());
    CAPTURE(odd);
    CHECK(reader->event({"", odd}).text.empty());
    CHECK(reader->progress().usage.value_or(Usage{}) == Usage{});
  }
  const auto reader = openai_chat().reader(ask());
  reader->event({"", R"({"error": {"message": "overloaded"}})"});
  CHECK(reader->progress().error->message() == "overloaded");
  CHECK(openai_chat().reader(ask())->event({"", std::string(100000, '[')}).text.empty());
}

TEST_CASE("chat completions: a schema goes to the API as it was written, and an effort beside it") {
  HttpOptions o = options();
  o.effort = "low";
  const std::string body = openai_chat().post(testing::with_schema(ask()), o).value().body;
  CHECK(body.find(std::string(R"("schema":)") + testing::person_schema) != std::string::npos);  // keys in their order
  const nlohmann::json sent_body = nlohmann::json::parse(body);
  CHECK(sent_body["response_format"]["type"] == "json_schema");
  CHECK(sent_body["response_format"]["json_schema"]["strict"] == true);
  CHECK(sent_body["response_format"]["json_schema"]["name"] == "answer");
  CHECK(sent_body["reasoning_effort"] == "low");
  CHECK(sent(testing::with_schema(ask(), R"({"type": "object"})"))["response_format"] ==
        nlohmann::json{{"type", "json_object"}});
}

TEST_CASE("chat completions: constraints that are no schema are refused, never dropped") {
  const auto refused = [](const Request& r) { return openai_chat().post(r, options()).error().message(); };
  Request r = ask();
  r.constraint = std::make_shared<const testing::NoSchema>();
  CHECK(refused(r).find("only a JSON schema") != std::string::npos);
  CHECK(refused(testing::with_schema(ask(), "true")).find("only a JSON schema") != std::string::npos);
  r = testing::with_schema(ask());
  r.close_when_short = true;
  CHECK(refused(r).find("close_when_short") != std::string::npos);
}

TEST_CASE("a prompt that is too long for the provider's model is said to be that") {
  const std::string body = R"({"error": {"message": "too many tokens", "code": "context_length_exceeded"}})";
  CHECK(error_of_status(400, body, "remote").code() == Errc::too_large);
  CHECK(error_of_status(500, body, "remote").code() == Errc::unavailable);
  CHECK(error_of_status(400, R"({"error": {"message": "x", "code": 3}})", "remote").code() == Errc::invalid_argument);
}

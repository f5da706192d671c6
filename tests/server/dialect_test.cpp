// The dialects without a network: what requests become, and which field a refusal names.
#include "server/dialect.hpp"

#include <frugal/core/json_schema_source.hpp>

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/base64.hpp"
#include "server/hand_endpoint.hpp"
#include "server/json.hpp"

using namespace frugal;
using namespace frugal::server;

namespace {

struct Rig {
  testing::HandEndpoint endpoint;
  Catalogue catalogue{{{{"m", &endpoint, "inner"}, {}}}, 0};
  Job read(const Dialect& dialect, const std::string& body) const {
    Incoming incoming;
    incoming.body = body;
    Job job;
    dialect.read(incoming, catalogue, job);
    return job;
  }
  ApiError error(const Dialect& dialect, const std::string& body) const {
    try {
      read(dialect, body);
    } catch (const Refused& refused) {
      return refused.why;
    }
    return {200, Error(Errc::internal, "was taken"), {}, {}, false};
  }
};

std::string with(const std::string& fields) {
  return R"({"messages": [{"role": "user", "content": "x"}])" + std::string(fields.empty() ? "" : ", ") + fields + "}";
}
std::string claude(const std::string& fields) { return R"({"model": "m", "max_tokens": 5, )" + fields + "}"; }
const std::string turn = R"("messages": [{"role": "user", "content": "x"}])";

}  // namespace

TEST_CASE("a body that would take long to read is refused before it is") {
  const Rig rig;
  std::string keys;
  for (int i = 0; i < 5000; ++i) keys += "\"k" + std::to_string(i) + "\": 1, ";
  const ApiError wide = rig.error(openai_chat(), "{" + keys + turn + "}");
  CHECK(wide.status == 400);
  CHECK(wide.error.message().find("more than 4096 keys") != std::string::npos);
  const ApiError deep = rig.error(openai_chat(), with("\"x\": " + std::string(200, '[') + std::string(200, ']')));
  CHECK(deep.status == 400);
  CHECK(deep.error.message().find("nested deeper than 100") != std::string::npos);
}

TEST_CASE("a chat request becomes a request with the API's defaults") {
  const Rig rig;
  const Job job =
      rig.read(openai_chat(), with(R"("model": "m", "stop": "a", "seed": -1, "max_tokens": 7, "stream": true)"));
  CHECK(job.stream);
  CHECK(job.request.model == "inner");
  CHECK(job.request.sampling.temperature == 1.0F);
  CHECK(job.request.sampling.seed == ~std::uint64_t{0});
  CHECK(job.request.stop == std::vector<std::string>{"a"});
  CHECK(job.request.max_tokens == 7);
  CHECK(rig.read(openai_chat(), with("")).request.max_tokens == 0);
  CHECK(rig.read(openai_completions(), R"({"prompt": "x"})").request.max_tokens == 16);
  const Job tokens = rig.read(openai_completions(), R"({"prompt": [1, 2, 3]})");
  CHECK(std::get<TokenPrompt>(tokens.request.prompt).tokens == std::vector<Token>{1, 2, 3});
}

TEST_CASE("a schema goes to the endpoint, whoever enforces it") {
  const Rig rig;
  const std::string form = R"("response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": )";
  const Job job = rig.read(openai_chat(), with(form + R"({"type": "object", "required": ["b", "a"]}}})"));
  const auto* const source = dynamic_cast<const JsonSchemaSource*>(job.request.constraint.get());
  REQUIRE(source != nullptr);
  CHECK(source->schema() == R"({"type":"object","required":["b","a"]})");
  const Job any = rig.read(openai_chat(), with(R"("response_format": {"type": "json_object"})"));
  CHECK(dynamic_cast<const JsonSchemaSource&>(*any.request.constraint).schema() == R"({"type":"object"})");
  CHECK(rig.read(anthropic_messages(), claude(turn + R"(, "output_config": {"format": {"type": "json_schema",
        "schema": {"type": "object"}}})"))
            .request.constraint != nullptr);
}

TEST_CASE("roles and contents that are not the API's are named, and an empty answer goes back as it is") {
  const Rig rig;
  const auto wrong = [&](const std::string& message) {
    return rig.error(openai_chat(), R"({"messages": [{"role": "user", "content": "x"}, )" + message + "]}");
  };
  CHECK(wrong(R"({"role": "human", "content": "x"})").field == "messages[1].role");
  CHECK(wrong(R"({"role": "user", "content": null})").field == "messages[1].content");
  CHECK(wrong(R"({"role": "tool", "content": null, "tool_call_id": "i"})").field == "messages[1].content");
  const Job job = rig.read(openai_chat(), R"({"messages": [{"role": "user", "content": "x"},
      {"role": "assistant", "content": null, "refusal": null}, {"role": "user", "content": "y"}]})");
  CHECK_FALSE(std::get<Chat>(job.request.prompt).messages[1].null_content);
  CHECK(rig.error(openai_chat(), "").error.message() == "the body is empty");
}

TEST_CASE("one call at a time may be asked for where nothing else can come") {
  const Rig rig;
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "f"}}], "parallel_tool_calls": )";
  CHECK(rig.error(openai_chat(), with(R"("parallel_tool_calls": false)")).status == 200);
  CHECK(rig.error(openai_chat(), with(tools + R"(false, "tool_choice": "none")")).status == 200);
  CHECK(rig.error(openai_chat(), with(tools + "true")).status == 200);
  CHECK(rig.error(openai_chat(), with(tools + "false")).field == "parallel_tool_calls");
  CHECK(rig.error(openai_chat(), with(R"("parallel_tool_calls": 0)")).field == "parallel_tool_calls");
  CHECK(rig.read(openai_chat(), with(R"("top_k": -1)")).request.sampling.top_k == 0);
  CHECK(rig.error(openai_chat(), with(R"("top_k": -2)")).field == "top_k");
}

TEST_CASE("parts of text are joined, and developers are systems") {
  const Rig rig;
  const Job job =
      rig.read(openai_chat(), R"({"messages": [{"role": "developer", "content": [{"type": "text", "text": "a"},
      {"type": "text", "text": "b"}]}, {"role": "user", "content": "c"}]})");
  const Chat& chat = std::get<Chat>(job.request.prompt);
  CHECK(chat.messages[0].role == "system");
  CHECK(chat.messages[0].content == "a\nb");
  CHECK(chat.messages[0].parts.empty());
}

TEST_CASE("each wrong field of a chat request is named") {
  const Rig rig;
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"("temperature": 2.5)", "temperature"},
      {R"("temperature": "1")", "temperature"},
      {R"("top_p": -0.1)", "top_p"},
      {R"("n": 2)", "n"},
      {R"("max_tokens": 0)", "max_tokens"},
      {R"("max_tokens": 1.5)", "max_tokens"},
      {R"("max_completion_tokens": -3)", "max_completion_tokens"},
      {R"("stop": [""])", "stop[0]"},
      {R"("stop": 3)", "stop"},
      {R"("stream": 1)", "stream"},
      {R"("stream_options": {"include_usage": true})", "stream_options"},
      {R"("seed": 1.5)", "seed"},
      {R"("logprobs": true)", "logprobs"},
      {R"("top_logprobs": 30, "logprobs": true)", "top_logprobs"},
      {R"("logit_bias": {"x": 1})", "logit_bias"},
      {R"("logit_bias": {"1": 500})", "logit_bias.1"},
      {R"("tools": [{"type": "web"}])", "tools[0].type"},
      {R"("tools": [{"type": "function", "function": {"name": "a b"}}])", "tools[0].function.name"},
      {R"("tools": [{"type": "function", "function": {}}])", "tools[0].function.name"},
      {R"("tool_choice": "required")", "tool_choice"},
      {R"("tool_choice": "sometimes")", "tool_choice"},
      {R"("response_format": {"type": "xml"})", "response_format.type"},
      {R"("response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "strange"}}})",
       "response_format.json_schema.schema"},
      {R"("modalities": ["audio"])", "modalities"},
      {R"("functions": [])", "functions"},
      {R"("store": true)", "store"},
      {R"("unheard_of": null)", "unheard_of"},
      {R"("prediction": {"type": "x"})", "prediction.type"},
  };
  for (const auto& [fields, name] : cases) {
    const ApiError error = rig.error(openai_chat(), with(fields));
    INFO(fields << ": " << error.error.message());
    CHECK(error.status == 400);
    CHECK(error.field == name);
  }
  CHECK(rig.error(openai_chat(), R"({"messages": "x"})").field == "messages");
  CHECK(rig.error(openai_chat(), "{}").field == "messages");
  CHECK(rig.error(openai_chat(), with(R"("model": "other")")).status == 404);
  CHECK(rig.error(openai_chat(), with(R"("user": "u", "metadata": {}, "n": 1, "store": false)")).status == 200);
  CHECK(rig.error(openai_chat(), with("\"x\": " + std::string(5000, '['))).status == 400);
  CHECK(rig.error(openai_completions(), R"({"prompt": "x", "echo": true})").field == "echo");
  CHECK(rig.error(openai_completions(), R"({"prompt": [[1], [2]]})").field == "prompt");
  CHECK(rig.error(openai_completions(), R"({"prompt": [1.5]})").field == "prompt");
}

TEST_CASE("no error repeats what the client wrote in its messages") {
  const Rig rig;
  for (const std::string body : {R"({"messages": [{"role": "user", "content": 17, "planted": "planted"}]})",
                                 R"({"messages": "planted" x)", R"({"messages": [{"role": "planted"}]})"})
    CHECK(rig.error(openai_chat(), body).error.message().find("planted") == std::string::npos);
}

TEST_CASE("a messages request becomes turns, tools and results") {
  const Rig rig;
  const Job job = rig.read(anthropic_messages(),
                           claude(R"("system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    "stop_sequences": ["z"], "top_k": 4, "temperature": 0.5, "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "messages": [{"role": "user", "content": "q"},
      {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": ""}, {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "i", "name": "f", "input": {"x": 1}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "r"}]},
        {"type": "text", "text": "more"}]}])"));
  const auto& messages = std::get<Chat>(job.request.prompt).messages;
  REQUIRE(messages.size() == 5);
  CHECK((messages[0].role == "system" && messages[0].cache_point));
  CHECK((messages[2].content == "a" && messages[2].reasoning == "t"));
  CHECK(messages[2].tool_calls.at(0).arguments == R"({"x":1})");
  CHECK((messages[3].role == "tool" && messages[3].tool_call_id == "i" && messages[3].content == "r"));
  CHECK((messages[4].role == "user" && messages[4].content == "more"));
  CHECK(job.request.sampling.top_k == 4);
  CHECK(job.request.stop == std::vector<std::string>{"z"});
}

TEST_CASE("each wrong field of a messages request is named") {
  const Rig rig;
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"("messages": [])", "messages"},
      {R"("messages": [{"role": "system", "content": "x"}])", "messages[0].role"},
      {R"("messages": [{"role": "user", "content": []}])", "messages[0].content"},
      {R"("messages": [{"role": "user", "content": [{"type": "image"}]}])", "messages[0].content[0].type"},
      {R"("messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}])", "messages[1].role"},
      {turn + R"(, "temperature": 1.5)", "temperature"},
      {turn + R"(, "stop_sequences": "x")", "stop_sequences"},
      {turn + R"(, "thinking": {"type": "enabled", "budget_tokens": 1024})", "thinking"},
      {turn + R"(, "tools": [{"name": "f"}])", "tools[0].input_schema"},
      {turn + R"(, "tools": [{"type": "bash_20250124", "name": "bash"}])", "tools[0].type"},
      {turn + R"(, "tool_choice": {"type": "maybe"})", "tool_choice.type"},
      {turn + R"(, "system": 3)", "system"},
      {turn + R"(, "n": 1)", "n"},
  };
  for (const auto& [fields, name] : cases) {
    const ApiError error = rig.error(anthropic_messages(), claude(fields));
    INFO(fields << ": " << error.error.message());
    CHECK(error.status == 400);
    CHECK(error.field == name);
  }
  CHECK(rig.error(anthropic_messages(), R"({"model": "m", "messages": [{"role": "user", "content": "x"}]})").field ==
        "max_tokens");
}

TEST_CASE("texts to embed become the messages of a chat, token ids a prompt of tokens") {
  Rig rig;
  testing::HandEndpoint vectors;
  rig.catalogue.models[0].model.embeddings = &vectors;
  const auto prompt = [&](const std::string& fields) {
    Job job = rig.read(openai_embeddings(), "{" + fields + "}");
    CHECK(job.endpoint == &vectors);
    CHECK(job.request.model.empty());
    return std::move(job.request.prompt);
  };
  CHECK(std::get<Chat>(prompt(R"("input": "a")")).messages.at(0).content == "a");
  CHECK(std::get<Chat>(prompt(R"("input": ["a", "b"], "user": "u")")).messages.at(1).content == "b");
  CHECK(std::get<TokenPrompt>(prompt(R"("input": [3, 4])")).tokens == std::vector<Token>{3, 4});
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"("input": "")", "input"},
      {R"("input": [])", "input"},
      {R"("input": ["a", ""])", "input[1]"},
      {R"("input": ["a", 3])", "input[1]"},
      {R"("input": [1.5])", "input"},
      {R"("input": [[1], [2]])", "input[0]"},
      {R"("x": 1, "input": "a")", "x"},
      {R"("input": "a", "encoding_format": "int8")", "encoding_format"},
      {R"("input": "a", "dimensions": 64)", "dimensions"},
      {R"("input": "a", "stream": true)", "stream"},
      {R"("model": "m")", "input"},
  };
  for (const auto& [fields, name] : cases) {
    const ApiError error = rig.error(openai_embeddings(), "{" + fields + "}");
    INFO(fields << ": " << error.error.message());
    CHECK(error.status == 400);
    CHECK(error.field == name);
  }
  const std::string many = "{\"input\": [\"a\"" + [] {
    std::string rest;
    for (int i = 0; i < 2048; ++i) rest += ",\"a\"";
    return rest;
  }() + "]}";
  CHECK(rig.error(openai_embeddings(), many).field == "input");
  CHECK(Rig().error(openai_embeddings(), R"({"input": "a"})").field == "model");
}

TEST_CASE("vectors go out as numbers or as base64, with the tokens they took") {
  Rig rig;
  rig.catalogue.models[0].model.embeddings = &rig.endpoint;
  Finish finish;
  finish.usage = {.input = 7};
  const std::string one = floats_to_base64(std::vector<float>{0.5F, -0.1F}),
                    two = floats_to_base64(std::vector<float>{1, 0});
  const auto written = [&](const std::string& fields, const std::string& lines) {
    Job job = rig.read(openai_embeddings(), R"({"input": ["a", "b"])" + fields + "}");
    std::string out;
    job.writer->delta({lines, {}, {}}, out);
    CHECK(out.empty());
    job.writer->finish(finish, out);
    return out;
  };
  const Json numbers = Json::parse(written("", one + "\n" + two + "\n"));
  CHECK(numbers["object"] == "list");
  CHECK(numbers["model"] == "m");
  CHECK(numbers["data"].size() == 2);
  CHECK(numbers["data"][1]["index"] == 1);
  CHECK(numbers["data"][0]["embedding"][0].get<float>() == 0.5F);
  CHECK(numbers["data"][0]["embedding"][1].get<float>() == -0.1F);
  CHECK(numbers["usage"] == Json{{"prompt_tokens", 7}, {"total_tokens", 7}});
  const Json base64 = Json::parse(written(R"(, "encoding_format": "base64")", one + "\n"));
  CHECK(base64["data"][0]["embedding"] == one);
  CHECK_THROWS_AS(written("", "no vector\n"), Error);
}

TEST_CASE("how much a model thinks is set where its template knows of it, and refused where it does not") {
  Rig rig;
  const auto effort = [&](const std::string& value, const std::string& more = "") {
    return rig.error(openai_chat(), with(R"("reasoning_effort": ")" + value + "\"" + more));
  };
  CHECK(effort("low").field == "reasoning_effort");
  CHECK(effort("none").status == 400);  // of a remote model nothing is known
  CHECK(effort("loud").error.message().find("minimal") != std::string::npos);
  ToolStyle& style = rig.catalogue.models[0].tools;
  const auto variables = [&](const std::string& value, const std::string& more = "") {
    const Job job = rig.read(openai_chat(), with(R"("reasoning_effort": ")" + value + "\"" + more));
    return std::get<Chat>(job.request.prompt).variables;
  };
  style.effort = ToolStyle::Effort::named;
  CHECK(variables("high") == R"({"reasoning_effort":"high"})");
  CHECK(Json::parse(variables("low", R"(, "chat_template_kwargs": {"a": 1})"))["a"] == 1);
  CHECK(effort("low", R"(, "chat_template_kwargs": {"reasoning_effort": "high"})").field == "reasoning_effort");
  style.effort = ToolStyle::Effort::on_off;
  CHECK(variables("none") == R"({"enable_thinking":false})");
  CHECK(variables("medium") == R"({"enable_thinking":true})");
  CHECK(effort("high").error.message().find("only") != std::string::npos);
}

TEST_CASE("what Anthropic's clients say of thinking is taken where it asks for nothing that is not there") {
  Rig rig;
  const auto status = [&](const std::string& fields) {
    return rig.error(anthropic_messages(), claude(turn + fields)).status;
  };
  CHECK(status(R"(, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"})") == 200);
  CHECK(status(R"(, "output_config": {"effort": "low"})") == 400);
  CHECK(status(R"(, "thinking": {"type": "enabled", "budget_tokens": 1024})") == 400);
  rig.catalogue.models[0].tools.effort = ToolStyle::Effort::named;
  const Job job = rig.read(anthropic_messages(), claude(turn + R"(, "output_config": {"effort": "low"})"));
  CHECK(std::get<Chat>(job.request.prompt).variables == R"({"reasoning_effort":"low"})");
}

TEST_CASE("a remote model's calls of tools go out as they came") {
  const Rig rig;
  Job job =
      rig.read(openai_chat(), with(R"("tools": [{"type": "function", "function": {"name": "f"}}], "stream": true)"));
  CHECK(std::get<Chat>(job.request.prompt).tools.find("\"f\"") != std::string::npos);
  Finish finish;
  finish.tool_calls = {{"call_1", "f", "{}", {}}};
  std::string out;
  job.writer->finish(finish, out);
  CHECK(out.find(R"("id":"call_1")") != std::string::npos);
  CHECK(out.find(R"("finish_reason":"tool_calls")") != std::string::npos);
}

TEST_CASE("an answer of blocks opens and closes each of them") {
  const Rig rig;
  Job job = rig.read(anthropic_messages(), claude(turn + R"(, "stream": true)"));
  std::string out;
  job.writer->prompt(12);
  job.writer->delta({"<think>hm</think>Yes", {}, {}}, out);
  Finish finish;
  finish.usage = {.input = 12, .cached_read = 8, .output = 3};
  job.writer->finish(finish, out);
  std::vector<std::string> types;
  for (std::size_t at = out.find("event: "); at != std::string::npos; at = out.find("event: ", at + 1))
    types.push_back(out.substr(at + 7, out.find('\n', at) - at - 7));
  CHECK(types == std::vector<std::string>{"message_start", "content_block_start", "content_block_delta",
                                          "content_block_stop", "content_block_start", "content_block_delta",
                                          "content_block_stop", "message_delta", "message_stop"});
  CHECK(out.find(R"("input_tokens":4,"cache_creation_input_tokens":0,"cache_read_input_tokens":8,"output_tokens":3)") !=
        std::string::npos);
}

TEST_CASE("what neither API has a word for is said in a member of its own, an escalation that failed on any answer") {
  const Rig rig;
  const auto written = [&](const Dialect& dialect, const std::string& body, FinishReason reason, std::string detail) {
    Job job = rig.read(dialect, body);
    Finish finish;
    finish.reason = reason;
    finish.detail = std::move(detail);
    std::string out;
    job.writer->finish(finish, out);
    return out;
  };
  const std::string fell = "answer of small, since the escalation to far failed";
  const std::string said = R"("frugal":{"finish":"stop","detail":")" + fell + "\"}";
  const std::string raw = R"({"prompt": "x", "stop": ["Z"])";
  for (const char* const more : {"", R"(, "stream": true)"}) {
    const std::string openai = with(R"("stop": ["Z"])" + std::string(more));
    const std::string anthropic = claude(turn + R"(, "stop_sequences": ["Z"])" + more);
    const std::vector<std::pair<const Dialect*, std::string>> asked{
        {&openai_chat(), openai}, {&openai_completions(), raw + more + "}"}, {&anthropic_messages(), anthropic}};
    for (const auto& [dialect, body] : asked) {
      CHECK(written(*dialect, body, FinishReason::stop, fell).find(said) != std::string::npos);
      CHECK(written(*dialect, body, FinishReason::stop, "Z; " + fell).find(said) != std::string::npos);
      CHECK(written(*dialect, body, FinishReason::capped, "max_tokens")
                .find(R"("frugal":{"finish":"capped","detail":"max_tokens"})") != std::string::npos);
      for (const char* const plain : {"", "Z", "tool_calls", "tool_use"})
        CHECK(written(*dialect, body, FinishReason::stop, plain).find("\"frugal\"") == std::string::npos);
    }
    CHECK(written(anthropic_messages(), anthropic, FinishReason::stop, "Z; " + fell).find(R"("stop_sequence":"Z")") !=
          std::string::npos);
  }
}

TEST_CASE("an endpoint's error names the field of the body that it is about") {
  const auto field = [](Errc code, const char* message) { return field_at_fault(Error(code, message), "messages"); };
  CHECK(field(Errc::too_large, "the prompt has 9000 tokens; with one of answer it does not fit") == "messages");
  CHECK(field(Errc::too_large, "endpoint far answered 413: too much") == "messages");
  CHECK(field(Errc::invalid_argument, "the prompt is empty") == "messages");
  CHECK(field(Errc::invalid_argument, "the conversation has no message") == "messages");
  CHECK(field(Errc::invalid_argument, "input 3: it is empty") == "messages");
  CHECK(field(Errc::invalid_argument, "sampling.logit_bias names token 9, the vocabulary has 8") == "logit_bias");
  CHECK(field(Errc::invalid_argument, "sampling.top_p is 0: no token could be drawn") == "top_p");
  CHECK(field(Errc::invalid_argument, "stop[0] is empty") == "stop");
  CHECK(field(Errc::invalid_argument, "logprobs asks for more tokens than the vocabulary has") == "logprobs");
  CHECK(field(Errc::unsupported, "endpoint far: logit_bias names tokens of a vocabulary") == "logit_bias");
  CHECK(field(Errc::invalid_argument, "endpoint far answered 400: stop being rude").empty());
  CHECK(field(Errc::invalid_argument, "endpoint far").empty());
  CHECK(field(Errc::unavailable, "the prompt of a person").empty());
}

// OpenAI's chat completions, streamed: https://platform.openai.com/docs/api-reference/chat and what compatible servers
// make of it. The body's stable parts (tools, first messages) come in the request's own order, so that a provider's
// prompt cache finds the prefix again.
#include <algorithm>
#include <utility>

#include "http/api.hpp"
#include "http/dialect.hpp"
#include "http/reported.hpp"

namespace frugal::http {

namespace {

Json written(const ToolCall& call) {
  return {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

Json content_of(const Message& m, bool marked) {
  if (!m.parts.empty() || (marked && !m.content.empty())) {
    Json parts = Json::array();
    if (m.parts.empty()) parts.push_back({{"type", "text"}, {"text", m.content}});
    for (const std::string& part : m.parts) parts.push_back({{"type", "text"}, {"text", part}});
    if (marked) parts.back()["prompt_cache_breakpoint"] = {{"mode", "explicit"}};
    return parts;
  }
  if (m.null_content || (m.content.empty() && !m.tool_calls.empty())) return nullptr;
  return m.content;
}

Json written(const Message& m, bool marked) {
  Json out{{"role", m.role}, {"content", content_of(m, marked)}};
  if (!m.reasoning.empty()) out["reasoning_content"] = m.reasoning;
  if (!m.name.empty()) out["name"] = m.name;
  if (!m.tool_call_id.empty()) out["tool_call_id"] = m.tool_call_id;
  if (const std::optional<Json> extra = object_of(m.extra)) out.update(*extra);
  if (m.tool_calls.empty()) return out;
  out["tool_calls"] = Json::array();
  for (const ToolCall& call : m.tool_calls) out["tool_calls"].push_back(written(call));
  return out;
}

void add_sampling(Json& body, const Request& r, const HttpOptions& o) {
  const Sampling& s = r.sampling;
  body["temperature"] = s.temperature;
  if (s.top_p != 1.0F) body["top_p"] = s.top_p;
  if (s.presence_penalty != 0.0F) body["presence_penalty"] = s.presence_penalty;
  if (s.frequency_penalty != 0.0F) body["frequency_penalty"] = s.frequency_penalty;
  if (s.seed) body["seed"] = *s.seed;
  if (!o.extended_sampling) return;
  if (s.top_k != 0) body["top_k"] = s.top_k;
  if (s.min_p != 0.0F) body["min_p"] = s.min_p;
  if (s.repetition_penalty != 1.0F) body["repetition_penalty"] = s.repetition_penalty;
}

// strict: what the API cannot enforce it refuses, instead of trying.
void add_schema(Json& body, const Request& r) {
  Json schema = schema_of(r);
  if (schema.is_null()) return;
  if (any_object(schema))
    body["response_format"] = {{"type", "json_object"}};
  else
    body["response_format"] = {{"type", "json_schema"},
                               {"json_schema", {{"name", "answer"}, {"strict", true}, {"schema", std::move(schema)}}}};
}

// Margins need the two most likely tokens of each place.
void ask_for_scores(Json& body, const Request& r) {
  if (!r.scores && !r.logprobs) return;
  body["logprobs"] = true;
  body["top_logprobs"] = std::max<std::uint32_t>(r.logprobs.value_or(0), r.scores ? 2 : 0);
}

// OpenAI's own API refuses more than four; StopCutter looks for all of them.
void add_stops(Json& body, const Request& r, const HttpOptions& o) {
  constexpr std::size_t most = 4;
  if (r.stop.empty()) return;
  if (o.extended_sampling || r.stop.size() <= most)
    body["stop"] = r.stop;
  else
    body["stop"] = std::vector<std::string>(r.stop.begin(), r.stop.begin() + most);
}

class OpenAiReader final : public Reader {
 private:
  Delta read(const Json& chunk) override {
    if (const Json& error = member(chunk, "error"); !error.is_null())
      so_far_.error = Error(Errc::unavailable, text(error, "message").empty() ? dumped(error) : text(error, "message"));
    if (so_far_.model.empty()) so_far_.model = text(chunk, "model");
    if (const Json& usage = member(chunk, "usage"); usage.is_object()) note_usage(usage, completions_usage(usage));
    Delta out;
    const Json& choices = member(chunk, "choices");
    if (!choices.is_array() || choices.empty()) return out;
    const Json& choice = choices.front();
    const Json& delta = member(choice, "delta");
    out.text = text(delta, "content");
    out.reasoning = text(delta, "reasoning_content");
    if (out.reasoning.empty()) out.reasoning = text(delta, "reasoning");  // OpenRouter and vLLM call it so
    add_calls(member(delta, "tool_calls"));
    http::add_scores(member(member(choice, "logprobs"), "content"), out);
    end(text(choice, "finish_reason"));
    return out;
  }

  // A call's name and arguments come in pieces, told apart by their index.
  void add_calls(const Json& calls) {
    if (!calls.is_array()) return;
    for (const Json& call : calls) {
      const std::uint64_t at = count(call, "index").value_or(0);
      if (at >= 128) continue;
      if (so_far_.tool_calls.size() <= at) so_far_.tool_calls.resize(at + 1);
      ToolCall& here = so_far_.tool_calls[at];
      const Json& function = member(call, "function");
      if (here.id.empty()) here.id = text(call, "id");
      here.name += text(function, "name");
      here.arguments += text(function, "arguments");
    }
  }

  void end(const std::string& reason) {
    if (reason.empty()) return;
    so_far_.reason = reason == "length" ? FinishReason::length : FinishReason::stop;
    if (reason != "stop" && reason != "length") so_far_.detail = reason;  // tool_calls, content_filter
  }
};

class OpenAiChat final : public Api {
 public:
  expected<Post> post(const Request& r, const HttpOptions& o, const CachePlan& plan) const override {
    if (std::optional<Error> no = unsayable(r, o)) return unexpected(*no);
    const Sampling& s = r.sampling;
    if (!o.extended_sampling && (s.top_k != 0 || s.min_p != 0.0F || s.repetition_penalty != 1.0F))
      return unexpected(Errc::unsupported, "endpoint " + o.name + ": top_k, min_p and repetition_penalty need " +
                                               "HttpOptions::extended_sampling");
    const Chat& chat = std::get<Chat>(r.prompt);
    if (!o.extended_sampling && !chat.variables.empty())
      return unexpected(Errc::unsupported,
                        "endpoint " + o.name + ": Chat::variables need HttpOptions::extended_sampling");
    expected<Json> tools = tools_of(chat);
    if (!tools) return unexpected(tools.error());
    Json body{{"model", o.model}, {"messages", Json::array()}};
    if (const std::optional<Json> variables = object_of(chat.variables)) body["chat_template_kwargs"] = *variables;
    if (!tools->empty()) body["tools"] = std::move(*tools);
    for (std::size_t i = 0; i < chat.messages.size(); ++i)
      body["messages"].push_back(written(chat.messages[i], plan.mark_of(i) != nullptr));
    if (!plan.key.empty()) body["prompt_cache_key"] = plan.key;
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
    if (r.max_tokens > 0) body[o.completion_tokens_field ? "max_completion_tokens" : "max_tokens"] = r.max_tokens;
    add_sampling(body, r, o);
    ask_for_scores(body, r);
    add_schema(body, r);
    if (!o.effort.empty()) body["reasoning_effort"] = o.effort;
    add_stops(body, r, o);
    return Post{o.url + "/chat/completions", dumped(body), {}};
  }
  std::unique_ptr<Reader> reader(const Request&) const override { return std::make_unique<OpenAiReader>(); }
  KeyHeader key_header() const override { return {"Authorization", "Bearer "}; }
};

}  // namespace

const Api& openai_chat() {
  static const OpenAiChat api;
  return api;
}

}  // namespace frugal::http

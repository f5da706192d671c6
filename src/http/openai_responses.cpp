// OpenAI's responses, streamed: https://platform.openai.com/docs/api-reference/responses. The conversation goes along
// whole each time, and nothing is stored there.
#include <algorithm>
#include <map>
#include <utility>

#include "http/api.hpp"
#include "http/dialect.hpp"
#include "http/reported.hpp"

namespace frugal::http {

namespace {

constexpr std::size_t most_calls = 128;

Json content_of(const Message& m, bool marked) {
  const char* const type = m.role == "assistant" ? "output_text" : "input_text";
  Json parts = Json::array();
  if (!m.content.empty()) parts.push_back({{"type", type}, {"text", m.content}});
  for (const std::string& part : m.parts) parts.push_back({{"type", type}, {"text", part}});
  if (marked && !parts.empty()) parts.back()["prompt_cache_breakpoint"] = {{"mode", "explicit"}};
  return parts;
}

// One message may become several items: what was said, then each call.
void add_items(Json& input, const Message& m, bool marked) {
  if (m.role == "tool") {
    input.push_back({{"type", "function_call_output"}, {"call_id", m.tool_call_id}, {"output", m.content}});
    return;
  }
  if (Json content = content_of(m, marked); !content.empty())
    input.push_back({{"type", "message"}, {"role", m.role}, {"content", std::move(content)}});
  for (const ToolCall& call : m.tool_calls)
    input.push_back({{"type", "function_call"},
                     {"call_id", call.id},
                     {"name", call.name},
                     {"arguments", call.arguments.empty() ? "{}" : call.arguments}});
}

// {"type": "function", "function": {...}}, which Chat carries, without its inner object.
Json tool_of(const Json& tool) {
  const Json& function = member(tool, "function");
  if (!function.is_object()) return tool;
  Json out{{"type", "function"}};
  out.update(function);
  return out;
}

std::optional<Error> unsayable_here(const Request& r, const HttpOptions& o) {
  if (std::optional<Error> no = unsayable(r, o)) return no;
  const auto no = [&](const char* what) { return Error(Errc::unsupported, "endpoint " + o.name + ": " + what); };
  const Sampling& s = r.sampling;
  if (s.presence_penalty != 0.0F || s.frequency_penalty != 0.0F || s.repetition_penalty != 1.0F || s.min_p != 0.0F ||
      s.top_k != 0)
    return no("this API has no penalties, no top_k and no min_p");
  if (s.seed) return no("this API takes no seed");
  const Chat& chat = std::get<Chat>(r.prompt);
  if (!chat.variables.empty()) return no("this API has no template and so no variables");
  for (const Message& m : chat.messages)
    if (!m.extra.empty() || !m.reasoning.empty() || !m.name.empty())
      return no("this API takes neither names, reasoning nor unknown fields back");
  return std::nullopt;
}

// strict: what the API cannot enforce it refuses, instead of trying.
void add_schema(Json& body, const Request& r) {
  Json schema = schema_of(r);
  if (schema.is_null()) return;
  Json format{{"type", "json_object"}};
  if (!any_object(schema))
    format = {{"type", "json_schema"}, {"name", "answer"}, {"strict", true}, {"schema", std::move(schema)}};
  body["text"] = {{"format", std::move(format)}};
}

class ResponsesReader final : public Reader {
 private:
  Delta read(const Json& object) override {
    const std::string type = text(object, "type");
    Delta out;
    const Json& response = member(object, "response");
    if (type == "response.created") {
      so_far_.model = text(response, "model");
    } else if (type == "response.output_text.delta") {
      out.text = text(object, "delta");
      add_scores(member(object, "logprobs"), out);
    } else if (type == "response.refusal.delta") {
      out.text = text(object, "delta");
      so_far_.detail = "refusal";
    } else if (type == "response.reasoning_text.delta" || type == "response.reasoning_summary_text.delta") {
      out.reasoning = text(object, "delta");
    } else if (type == "response.output_item.added") {
      begin_call(object);
    } else if (type == "response.function_call_arguments.delta") {
      if (const auto call = call_at_.find(index_of(object)); call != call_at_.end())
        so_far_.tool_calls[call->second].arguments += text(object, "delta");
    } else if (type == "response.completed" || type == "response.incomplete") {
      end(response, type == "response.completed");
    } else if (type == "response.failed") {
      fail(member(response, "error"));
    } else if (type == "error") {
      fail(object);
    }
    return out;  // all the others repeat what these said
  }

  static std::uint64_t index_of(const Json& object) { return count(object, "output_index").value_or(0); }

  void begin_call(const Json& object) {
    const Json& item = member(object, "item");
    if (text(item, "type") != "function_call" || so_far_.tool_calls.size() >= most_calls) return;
    call_at_[index_of(object)] = so_far_.tool_calls.size();
    so_far_.tool_calls.push_back({text(item, "call_id"), text(item, "name"), text(item, "arguments"), {}});
  }

  void end(const Json& response, bool completed) {
    if (!text(response, "model").empty()) so_far_.model = text(response, "model");
    if (const Json& usage = member(response, "usage"); usage.is_object()) note_usage(usage, responses_usage(usage));
    const std::string why = text(member(response, "incomplete_details"), "reason");
    so_far_.reason = completed || why != "max_output_tokens" ? FinishReason::stop : FinishReason::length;
    if (!completed && why != "max_output_tokens") so_far_.detail = why.empty() ? "incomplete" : why;
    if (completed && !so_far_.tool_calls.empty()) so_far_.detail = "tool_calls";
    so_far_.ended = true;
  }

  void fail(const Json& error) {
    const std::string said = text(error, "message"), code = text(error, "code");
    so_far_.error = Error(code == "rate_limit_exceeded" ? Errc::busy : Errc::unavailable,
                          said.empty() ? "the API reported an error without words" : said);
  }

  std::map<std::uint64_t, std::size_t> call_at_{};  // an item's index -> its place in tool_calls
};

class OpenAiResponses final : public Api {
 public:
  expected<Post> post(const Request& r, const HttpOptions& o, const CachePlan& plan) const override {
    if (std::optional<Error> no = unsayable_here(r, o)) return unexpected(*no);
    const Chat& chat = std::get<Chat>(r.prompt);
    expected<Json> tools = tools_of(chat);
    if (!tools) return unexpected(tools.error());
    Json body{{"model", o.model}};
    for (const Json& tool : *tools) body["tools"].push_back(tool_of(tool));
    body["input"] = Json::array();
    for (std::size_t i = 0; i < chat.messages.size(); ++i)
      add_items(body["input"], chat.messages[i], plan.mark_of(i) != nullptr);
    if (!plan.key.empty()) body["prompt_cache_key"] = plan.key;
    body["store"] = false;
    body["stream"] = true;
    body["temperature"] = r.sampling.temperature;
    if (r.sampling.top_p != 1.0F) body["top_p"] = r.sampling.top_p;
    if (r.max_tokens > 0) body["max_output_tokens"] = r.max_tokens;
    if (!o.effort.empty()) body["reasoning"] = {{"effort", o.effort}};
    add_schema(body, r);
    if (r.scores || r.logprobs) {
      body["include"] = Json::array({"message.output_text.logprobs"});
      body["top_logprobs"] = std::max<std::uint32_t>(r.logprobs.value_or(0), r.scores ? 2 : 0);
    }
    return Post{o.url + "/responses", dumped(body), {}};
  }
  std::unique_ptr<Reader> reader(const Request&) const override { return std::make_unique<ResponsesReader>(); }
  KeyHeader key_header() const override { return {"Authorization", "Bearer "}; }
};

}  // namespace

const Api& openai_responses() {
  static const OpenAiResponses api;
  return api;
}

}  // namespace frugal::http

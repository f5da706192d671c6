// Anthropic's messages, streamed: https://docs.anthropic.com/en/api/messages. System messages move to their own field,
// tool results become blocks of a user's turn, cache points become cache_control on the last block of their message.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <utility>

#include "http/api.hpp"
#include "http/dialect.hpp"
#include "http/reported.hpp"

namespace frugal::http {

namespace {

Json cache_mark(const CacheMark& mark) {
  Json out{{"type", "ephemeral"}};
  if (mark.ttl == CacheTtl::hour) out["ttl"] = "1h";  // five minutes is what the API takes without it
  return out;
}

// The content blocks of one message.
Json blocks_of(const Message& m) {
  Json blocks = Json::array();
  if (m.role == "tool") {
    blocks.push_back({{"type", "tool_result"}, {"tool_use_id", m.tool_call_id}, {"content", m.content}});
    return blocks;
  }
  if (!m.content.empty()) blocks.push_back({{"type", "text"}, {"text", m.content}});
  for (const std::string& part : m.parts) blocks.push_back({{"type", "text"}, {"text", part}});
  for (const ToolCall& call : m.tool_calls) {
    const std::optional<Json> input = object_of(call.arguments.empty() ? "{}" : call.arguments);
    blocks.push_back(
        {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", input.value_or(Json::object())}});
  }
  return blocks;
}

// Turns alternate: what follows in the same role joins the turn before.
void add_turn(Json& messages, const std::string& role, Json blocks) {
  if (!messages.empty() && messages.back()["role"] == role) {
    for (Json& block : blocks) messages.back()["content"].push_back(std::move(block));
    return;
  }
  messages.push_back({{"role", role}, {"content", std::move(blocks)}});
}

void add_messages(Json& body, const Chat& chat, const CachePlan& plan) {
  Json system = Json::array(), messages = Json::array();
  for (std::size_t i = 0; i < chat.messages.size(); ++i) {
    const Message& m = chat.messages[i];
    Json blocks = blocks_of(m);
    if (blocks.empty()) continue;
    if (const CacheMark* const mark = plan.mark_of(i)) blocks.back()["cache_control"] = cache_mark(*mark);
    if (m.role == "system" || m.role == "developer")
      for (Json& block : blocks) system.push_back(std::move(block));
    else
      add_turn(messages, m.role == "assistant" ? "assistant" : "user", std::move(blocks));
  }
  if (!system.empty()) body["system"] = std::move(system);
  body["messages"] = std::move(messages);
}

// OpenAI's form of a tool, which frugal's Chat carries, as Anthropic's.
Json tool_of(const Json& tool) {
  const Json& function = member(tool, "function");
  if (function.is_null()) return tool;
  Json out{{"name", text(function, "name")}};
  if (const std::string about = text(function, "description"); !about.empty()) out["description"] = about;
  const Json& schema = member(function, "parameters");
  out["input_schema"] = schema.is_object() ? schema : Json{{"type", "object"}};
  return out;
}

// Reads a number of at most two digits off the front; none = there is no such (eight digits are a date).
std::optional<int> version_part(std::string_view& name) {
  std::size_t digits = 0;
  while (digits < name.size() && std::isdigit(static_cast<unsigned char>(name[digits])) != 0) ++digits;
  if (digits == 0 || digits > 2) return std::nullopt;
  int value = 0;
  std::from_chars(name.data(), name.data() + digits, value);
  name.remove_prefix(std::min(name.size(), digits + 1));
  return value;
}

// Claude 3 and 4 up to Opus and Sonnet 4.6 and Haiku 4.5 take temperature, top_p and top_k; later models answer 400. A
// Claude that is not known here is taken for a later one, another maker's model behind this API takes them.
bool takes_sampling(const HttpOptions& o) {
  if (o.takes_sampling) return *o.takes_sampling;
  std::string_view name(o.model);
  const std::size_t at = name.find("claude-");
  if (at == std::string_view::npos) return true;
  name.remove_prefix(at + 7);
  if (name.substr(0, 7) == "instant") return true;
  if (std::string_view old = name; const std::optional<int> major = version_part(old)) return *major <= 3;
  const std::size_t dash = name.find('-');
  if (dash == std::string_view::npos) return false;
  const bool haiku = name.substr(0, dash) == "haiku";
  name.remove_prefix(dash + 1);
  const std::optional<int> major = version_part(name);
  if (!major || *major != 4) return major && *major < 4;
  return version_part(name).value_or(0) <= (haiku ? 5 : 6);
}

std::uint32_t limit_of(const Request& r, const HttpOptions& o) {
  return r.max_tokens > 0 ? r.max_tokens : o.default_max_tokens;
}

// The API refuses a stop text of blanks alone; StopCutter looks for it.
void add_stops(Json& body, const Request& r) {
  for (const std::string& stop : r.stop)
    if (stop.find_first_not_of(" \t\r\n\f\v") != std::string::npos) body["stop_sequences"].push_back(stop);
}

std::optional<Error> unsayable_here(const Request& r, const HttpOptions& o) {
  if (std::optional<Error> no = unsayable(r, o)) return no;
  const auto no = [&](const std::string& what) { return Error(Errc::unsupported, "endpoint " + o.name + ": " + what); };
  if (r.logprobs) return no("this API gives no log-probabilities");  // scores are a cascade's wish: they stay unknown
  const Sampling& s = r.sampling;
  if (s.presence_penalty != 0.0F || s.frequency_penalty != 0.0F || s.min_p != 0.0F || s.repetition_penalty != 1.0F)
    return no("this API has no penalties and no min_p");
  if (s.temperature > 1.0F) return no("this API's temperature ends at 1");
  const bool asks = (s.temperature != 0.0F && s.temperature != 1.0F) || s.top_p != 1.0F || s.top_k != 0;
  if (asks && !takes_sampling(o))
    return no("this model takes no temperature, top_p or top_k (HttpOptions::takes_sampling)");
  if (o.thinking_tokens) {
    if (s.top_k != 0 || s.top_p < 0.95F || (s.temperature != 0.0F && s.temperature != 1.0F))
      return no("while it thinks this API takes no temperature but 1, no top_k and no top_p below 0.95");
    if (limit_of(r, o) <= *o.thinking_tokens)
      return no("max_tokens must be above thinking_tokens (" + std::to_string(*o.thinking_tokens) +
                "), which are a part of it");
  }
  if (s.seed) return no("this API takes no seed");
  const Chat& chat = std::get<Chat>(r.prompt);
  if (!chat.variables.empty()) return no("this API has no template and so no variables");
  for (const Message& m : chat.messages)
    if (!m.extra.empty() || !m.reasoning.empty()) return no("this API takes neither reasoning nor unknown fields back");
  return std::nullopt;
}

class AnthropicReader final : public Reader {
 private:
  Delta read(const Json& object) override {
    const std::string type = text(object, "type");
    Delta out;
    if (type == "message_start") {
      so_far_.model = text(member(object, "message"), "model");
      add_usage(member(member(object, "message"), "usage"));
    } else if (type == "content_block_start") {
      start_block(object);
    } else if (type == "content_block_delta") {
      add_delta(object, out);
    } else if (type == "message_delta") {
      add_usage(member(object, "usage"));
      end(member(object, "delta"));
    } else if (type == "message_stop") {
      so_far_.ended = true;
    } else if (type == "error") {
      const Json& error = member(object, "error");
      so_far_.error =
          Error(text(error, "type") == "overloaded_error" ? Errc::busy : Errc::unavailable, text(error, "message"));
    }
    return out;  // ping, content_block_stop, and types to come
  }

  void start_block(const Json& object) {
    const Json& block = member(object, "content_block");
    if (text(block, "type") != "tool_use" || so_far_.tool_calls.size() >= 128) return;
    call_at_[count(object, "index").value_or(0)] = so_far_.tool_calls.size();
    so_far_.tool_calls.push_back({text(block, "id"), text(block, "name"), "", {}});
  }

  void add_delta(const Json& object, Delta& out) {
    const Json& delta = member(object, "delta");
    const std::string type = text(delta, "type");
    const auto call = call_at_.find(count(object, "index").value_or(0));
    if (type == "input_json_delta" && call != call_at_.end())
      so_far_.tool_calls[call->second].arguments += text(delta, "partial_json");
    if (type == "text_delta") out.text = text(delta, "text");
    if (type == "thinking_delta") out.reasoning = text(delta, "thinking");
  }

  // Later reports hold totals, not additions, and may leave out what has not changed.
  void add_usage(const Json& reported) {
    if (!reported.is_object()) return;
    for (const auto& [key, value] : reported.items())
      if (!value.is_null()) reported_[key] = value;
    note_usage(reported, messages_usage(reported_));
  }

  void end(const Json& delta) {
    const std::string reason = text(delta, "stop_reason");
    if (reason.empty()) return;
    so_far_.reason = reason == "max_tokens" ? FinishReason::length : FinishReason::stop;
    if (reason == "stop_sequence")
      so_far_.detail = text(delta, "stop_sequence");
    else if (reason != "end_turn" && reason != "max_tokens")
      so_far_.detail = reason;  // tool_use, refusal
  }

  Json reported_ = Json::object();
  std::map<std::uint64_t, std::size_t> call_at_{};  // a content block's index -> its place in tool_calls
};

class AnthropicMessages final : public Api {
 public:
  expected<Post> post(const Request& r, const HttpOptions& o, const CachePlan& plan) const override {
    if (std::optional<Error> no = unsayable_here(r, o)) return unexpected(*no);
    const Chat& chat = std::get<Chat>(r.prompt);
    expected<Json> tools = tools_of(chat);
    if (!tools) return unexpected(tools.error());
    Json body{{"model", o.model}, {"max_tokens", limit_of(r, o)}};
    for (const Json& tool : *tools) body["tools"].push_back(tool_of(tool));
    add_messages(body, chat, plan);
    body["stream"] = true;
    if (o.thinking_tokens)
      body["thinking"] = {{"type", "enabled"}, {"budget_tokens", *o.thinking_tokens}};
    else if (takes_sampling(o))
      body["temperature"] = r.sampling.temperature;
    if (r.sampling.top_p != 1.0F) body["top_p"] = r.sampling.top_p;
    if (r.sampling.top_k != 0) body["top_k"] = r.sampling.top_k;
    add_stops(body, r);
    if (!o.effort.empty()) body["output_config"]["effort"] = o.effort;
    if (Json schema = schema_of(r); !schema.is_null())
      body["output_config"]["format"] = {{"type", "json_schema"}, {"schema", std::move(schema)}};
    return Post{o.url + "/messages", dumped(body), {{"anthropic-version", "2023-06-01"}}};
  }
  std::unique_ptr<Reader> reader(const Request&) const override { return std::make_unique<AnthropicReader>(); }
  KeyHeader key_header() const override { return {"x-api-key", ""}; }
};

}  // namespace

const Api& anthropic_messages() {
  static const AnthropicMessages api;
  return api;
}

}  // namespace frugal::http

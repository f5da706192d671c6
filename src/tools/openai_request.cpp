#include "tools/openai_request.hpp"

#include <frugal/grammar/grammar.hpp>
#include <frugal/text/chat_template.hpp>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "core/json_tree.hpp"
#include "text/json_fields.hpp"
#include "text/openai_fields.hpp"
#include "tools/raw_json.hpp"

namespace frugal::tools {

using nlohmann::json;

namespace {

/// A wrong field becomes a FieldError that repeats what stands there: the file is the user's own.
struct FieldRefusal {
  [[noreturn]] static void refuse(const std::string& path, const std::string& what, Errc code) {
    throw FieldError(code, path.empty() ? "body" : path, what);
  }
  static std::string shown(const json& value) { return ", not " + json_excerpt(value); }
};
using Fields = text::JsonFields<json, FieldRefusal>;

[[noreturn]] void wrong(const std::string& param, const std::string& what) {
  throw FieldError(Errc::invalid_argument, param, what);
}
[[noreturn]] void unsupported(const std::string& param, const std::string& what) {
  throw FieldError(Errc::unsupported, param, what);
}

struct Parsed {
  json tree;
};

/// The body, read field by field.
class Body : private Parsed, public Fields {
 public:
  explicit Body(std::string_view text)
      : Parsed{parse_json_tree(text, "body", {.repeated = RepeatedKeys::refused})}, Fields(tree, ""), text_(text) {}

  /// A field as it was written; empty where it is not there.
  std::string_view raw(const char* key) { return take(key) == nullptr ? std::string_view() : raw_member(text_, key); }

 private:
  std::string_view text_;
};

/// Takes a factory's error as one of the field's.
template <class Make>
auto inside(const std::string& param, Make make) {
  try {
    return make();
  } catch (const FieldError&) {
    throw;
  } catch (const Error& e) {
    throw FieldError(e.code(), param, e.message());
  }
}

std::shared_ptr<const ConstraintSource> constraint_of(Body& body) {
  const std::string_view raw = body.raw("response_format");
  const json* format = body.take("response_format");
  if (format == nullptr) return nullptr;
  const std::string type =
      format->is_object() ? format->value("type", json()).is_string() ? format->at("type").get<std::string>() : "" : "";
  if (type == "text") return nullptr;
  if (type == "json_object")
    return inside("response_format", [] { return grammar::json_schema(R"({"type": "object"})"); });
  if (type != "json_schema") wrong("response_format", R"("type" must be "text", "json_object" or "json_schema")");
  const std::string param = "response_format.json_schema";
  const std::string_view holder = raw_member(raw, "json_schema");
  const auto inner = format->find("json_schema");
  if (inner == format->end() || !inner->is_object() || !inner->contains("schema"))
    wrong(param, "must be an object with \"schema\"");
  return inside(param + ".schema", [&] { return grammar::json_schema(raw_member(holder, "schema")); });
}

/// Texts and tools as they were written; chat_from_json reads them.
Chat chat_of(Body& body) {
  const json* choice = body.take("tool_choice");
  if (choice != nullptr && *choice != "auto" && *choice != "none")
    unsupported("tool_choice", R"(must be "auto" or "none"; a call cannot be forced)");
  std::string text = "{";
  for (const char* key : {"messages", "tools", "add_generation_prompt", "chat_template_kwargs", "template_name"}) {
    const std::string_view value = body.raw(key);
    if (value.empty() || (choice != nullptr && *choice == "none" && key == std::string_view("tools"))) continue;
    text += (text.size() > 1 ? ", \"" : "\"") + std::string(key) + "\": " + std::string(value);
  }
  return inside("messages", [&] { return chat_from_json(text + "}", "the conversation"); });
}

void read_chat(Body& body, const OpenAiDefaults& defaults, Request& request) {
  request.prompt = chat_of(body);
  request.max_tokens = text::read_limit<Fields>(body).value_or(defaults.max_tokens);
  request.logprobs = text::read_logprobs<Fields>(body);
  request.draft.text = text::read_prediction<Fields>(body);
}

void read_completion(Body& body, const OpenAiDefaults& defaults, Request& request) {
  text::read_prompt<Fields>(body, request);
  constexpr std::uint32_t api_default = 16;
  const auto limit = body.whole("max_tokens", 1, text::most_answer_tokens);
  request.max_tokens =
      limit ? static_cast<std::uint32_t>(*limit) : (defaults.max_tokens != 0 ? defaults.max_tokens : api_default);
  if (const auto logprobs = body.whole("logprobs", 0, 20)) request.logprobs = static_cast<std::uint32_t>(*logprobs);
  body.unsupported("suffix", "text after the answer is not supported", "");
  body.unsupported("echo", "the prompt is not said again", false);
  body.unsupported("best_of", "must be 1", 1);
}

}  // namespace

Request request_of_openai(OpenAiKind kind, std::string_view text, const OpenAiDefaults& defaults) {
  Body body(text);
  Request request;
  request.model = body.text("model").value_or("");
  body.unsupported("stream", "a batch has no streams; leave it out", false);
  body.unsupported("stream_options", "a batch has no streams; leave it out");
  body.unsupported("n", "must be 1; give each answer a line of its own", 1);
  request.sampling = text::read_sampling<Fields>(body, defaults.temperature);
  request.stop = text::read_stop<Fields>(body, "stop");
  request.constraint = constraint_of(body);
  kind == OpenAiKind::chat_completion ? read_chat(body, defaults, request) : read_completion(body, defaults, request);
  // For the provider's own books: they do not change what is answered.
  body.ignore(
      {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"});
  body.refuse_rest();
  return request;
}

}  // namespace frugal::tools

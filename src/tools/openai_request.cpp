#include "tools/openai_request.hpp"

#include <frugal/grammar/grammar.hpp>
#include <frugal/text/chat_template.hpp>

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "core/json_tree.hpp"
#include "tools/raw_json.hpp"

namespace frugal::tools {

using nlohmann::json;

namespace {

/// For the provider's own books. They do not change what is answered.
constexpr std::string_view passed_over[] = {
    "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"};

[[noreturn]] void wrong(const std::string& param, const std::string& what) {
  throw FieldError(Errc::invalid_argument, param, what);
}
[[noreturn]] void unsupported(const std::string& param, const std::string& what) {
  throw FieldError(Errc::unsupported, param, what);
}

/// The body, read field by field; JSON's null counts as absent.
class Body {
 public:
  explicit Body(std::string_view text)
      : text_(text), tree_(parse_json_tree(text, "body", {.repeated = RepeatedKeys::refused})) {
    if (!tree_.is_object()) wrong("body", "must be an object");
  }

  const json* take(const std::string& key) {
    taken_.push_back(key);
    const auto found = tree_.find(key);
    return found == tree_.end() || found->is_null() ? nullptr : &*found;
  }
  std::string_view raw(const std::string& key) {
    return take(key) == nullptr ? std::string_view() : raw_member(text_, key);
  }

  std::optional<double> number(const std::string& key, double least, double most) {
    const json* value = take(key);
    if (value == nullptr) return std::nullopt;
    const double number = value->is_number() ? value->get<double>() : std::numeric_limits<double>::quiet_NaN();
    if (!(number >= least && number <= most))
      wrong(key,
            "must be a number from " + short_text(least) + " to " + short_text(most) + ", not " + json_excerpt(*value));
    return number;
  }
  std::optional<std::uint32_t> count(const std::string& key, std::uint32_t least, std::uint32_t most) {
    const json* value = take(key);
    if (value == nullptr) return std::nullopt;
    const bool fits =
        value->is_number_unsigned() && value->get<std::uint64_t>() >= least && value->get<std::uint64_t>() <= most;
    if (!fits)
      wrong(key, "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most) + ", not " +
                     json_excerpt(*value));
    return static_cast<std::uint32_t>(value->get<std::uint64_t>());
  }
  bool flag(const std::string& key) {
    const json* value = take(key);
    if (value != nullptr && !value->is_boolean()) wrong(key, "must be true or false, not " + json_excerpt(*value));
    return value != nullptr && value->get<bool>();
  }
  std::string text(const std::string& key) {
    const json* value = take(key);
    if (value != nullptr && !value->is_string()) wrong(key, "must be a string, not " + json_excerpt(*value));
    return value == nullptr ? std::string() : value->get<std::string>();
  }
  void refuse_rest() const {
    for (const auto& [key, value] : tree_.items()) {
      const bool known = std::find(taken_.begin(), taken_.end(), key) != taken_.end() ||
                         std::find(std::begin(passed_over), std::end(passed_over), key) != std::end(passed_over);
      if (!known && !value.is_null()) unsupported(key.substr(0, 80), "is not known here");
    }
  }

 private:
  static std::string short_text(double value) {
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, value).ptr};
  }

  std::string_view text_;
  json tree_;
  std::vector<std::string> taken_{};
};

std::vector<std::pair<Token, float>> bias_of(const json& value) {
  if (!value.is_object()) wrong("logit_bias", "must be an object from token ids to numbers");
  std::vector<std::pair<Token, float>> out;
  for (const auto& [key, bias] : value.items()) {
    const std::string param = "logit_bias." + key.substr(0, 80);
    Token token{};
    const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (failure != std::errc{} || end != key.data() + key.size() || token < 0) wrong(param, "is not a token id");
    const double number = bias.is_number() ? bias.get<double>() : std::numeric_limits<double>::quiet_NaN();
    if (!(number >= -100 && number <= 100)) wrong(param, "must be a number from -100 to 100");
    out.emplace_back(token, static_cast<float>(number));
  }
  return out;
}

Sampling sampling_of(Body& body, const OpenAiDefaults& defaults) {
  Sampling s;
  s.temperature = static_cast<float>(body.number("temperature", 0, 2).value_or(defaults.temperature));
  s.top_p = static_cast<float>(body.number("top_p", 0, 1).value_or(1));
  s.min_p = static_cast<float>(body.number("min_p", 0, 1).value_or(0));
  s.top_k = static_cast<std::int32_t>(body.count("top_k", 0, std::numeric_limits<std::int32_t>::max()).value_or(0));
  s.presence_penalty = static_cast<float>(body.number("presence_penalty", -2, 2).value_or(0));
  s.frequency_penalty = static_cast<float>(body.number("frequency_penalty", -2, 2).value_or(0));
  s.repetition_penalty = static_cast<float>(body.number("repetition_penalty", 0.01, 100).value_or(1));
  if (const json* bias = body.take("logit_bias")) s.logit_bias = bias_of(*bias);
  if (const json* seed = body.take("seed")) {
    if (!seed->is_number_integer()) wrong("seed", "must be a whole number, not " + json_excerpt(*seed));
    s.seed =
        seed->is_number_unsigned() ? seed->get<std::uint64_t>() : static_cast<std::uint64_t>(seed->get<std::int64_t>());
  }
  return s;
}

std::vector<std::string> stop_of(Body& body) {
  const json* stop = body.take("stop");
  if (stop == nullptr) return {};
  if (stop->is_string()) return {stop->get<std::string>()};
  std::vector<std::string> out;
  if (stop->is_array())
    for (const json& each : *stop)
      if (each.is_string()) out.push_back(each.get<std::string>());
  if (!stop->is_array() || out.size() != stop->size()) wrong("stop", "must be a string or a list of strings");
  return out;
}

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
  const auto old_name = body.count("max_tokens", 1, std::numeric_limits<std::uint32_t>::max());
  const auto new_name = body.count("max_completion_tokens", 1, std::numeric_limits<std::uint32_t>::max());
  if (old_name && new_name && *old_name != *new_name) wrong("max_tokens", "differs from max_completion_tokens");
  request.max_tokens = new_name.value_or(old_name.value_or(defaults.max_tokens));
  const auto top = body.count("top_logprobs", 0, 20);
  const bool logprobs = body.flag("logprobs");
  if (top && !logprobs) wrong("top_logprobs", "needs \"logprobs\": true");
  if (logprobs) request.logprobs = top.value_or(0);
  if (const json* guess = body.take("prediction")) {
    if (!guess->is_object() || !guess->contains("content") || !guess->at("content").is_string())
      unsupported("prediction", "must be an object whose \"content\" is a string");
    request.draft.text = guess->at("content").get<std::string>();
  }
}

TokenPrompt tokens_of(const json& list) {
  TokenPrompt prompt;
  for (const json& id : list) {
    const bool fits = id.is_number_unsigned() && id.get<std::uint64_t>() <= std::numeric_limits<Token>::max();
    if (!fits) wrong("prompt", "must be a string or a list of token ids; this list holds " + json_excerpt(id));
    prompt.tokens.push_back(static_cast<Token>(id.get<std::uint64_t>()));
  }
  return prompt;
}

void read_completion(Body& body, const OpenAiDefaults& defaults, Request& request) {
  const json* prompt = body.take("prompt");
  if (prompt == nullptr) wrong("prompt", "is missing");
  if (prompt->is_array() && prompt->size() == 1 && (prompt->front().is_string() || prompt->front().is_array()))
    prompt = &prompt->front();
  if (prompt->is_string()) {
    request.prompt = RawPrompt{.text = prompt->get<std::string>()};
  } else if (prompt->is_array() && !prompt->empty() && (prompt->front().is_string() || prompt->front().is_array())) {
    unsupported("prompt", "several prompts in one request; give each a line of its own");
  } else if (prompt->is_array() && !prompt->empty()) {
    request.prompt = tokens_of(*prompt);
  } else {
    wrong("prompt", "must be a string or a list of token ids");
  }
  constexpr std::uint32_t api_default = 16;
  request.max_tokens = body.count("max_tokens", 1, std::numeric_limits<std::uint32_t>::max())
                           .value_or(defaults.max_tokens != 0 ? defaults.max_tokens : api_default);
  request.logprobs = body.count("logprobs", 0, 100);
  if (!body.text("suffix").empty()) unsupported("suffix", "text after the answer is not supported");
  if (body.flag("echo")) unsupported("echo", "the prompt is not said again");
  if (body.count("best_of", 1, 128).value_or(1) != 1) unsupported("best_of", "must be 1");
}

}  // namespace

Request request_of_openai(OpenAiKind kind, std::string_view text, const OpenAiDefaults& defaults) {
  Body body(text);
  Request request;
  request.model = body.text("model");
  if (body.flag("stream")) unsupported("stream", "a batch has no streams; leave it out");
  if (body.take("stream_options") != nullptr) unsupported("stream_options", "a batch has no streams; leave it out");
  if (body.count("n", 1, 128).value_or(1) != 1) unsupported("n", "must be 1; give each answer a line of its own");
  request.sampling = sampling_of(body, defaults);
  request.stop = stop_of(body);
  request.constraint = constraint_of(body);
  kind == OpenAiKind::chat_completion ? read_chat(body, defaults, request) : read_completion(body, defaults, request);
  body.refuse_rest();
  return request;
}

}  // namespace frugal::tools

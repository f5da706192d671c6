#include "http/dialect.hpp"

#include <frugal/core/json_schema_source.hpp>

#include <utility>

#include "core/json_depth.hpp"

namespace frugal::http {

std::optional<Error> unsayable(const Request& r, const HttpOptions& o) {
  const auto no = [&](const std::string& what) { return Error(Errc::unsupported, "endpoint " + o.name + ": " + what); };
  const bool raw = o.api == HttpApi::openai_completions;
  if (raw && !std::holds_alternative<RawPrompt>(r.prompt)) return no("it takes a RawPrompt, not tokens or a Chat");
  if (!raw && !std::holds_alternative<Chat>(r.prompt)) return no("it takes a Chat, not tokens or raw text");
  static const Chat none;
  const Chat& chat = raw ? none : std::get<Chat>(r.prompt);
  if (!chat.template_name.empty() || chat.parse_special || !chat.add_generation_prompt)
    return no("template_name, parse_special and add_generation_prompt are for models whose template is applied here");
  const Sampling& s = r.sampling;
  if (!s.logit_bias.empty()) return no("logit_bias names tokens of a vocabulary that is not known here");
  if (r.constraint && (raw || schema_of(r).is_null()))
    return no("of constraints only a JSON schema that is an object can be handed to a provider's API for chats");
  if (r.constraint && r.close_when_short) return no("close_when_short is for models whose tokens are drawn here");
  if (!r.adapter.empty()) return no("it has no adapters; ask for the tuned model by name");
  return std::nullopt;
}

Json schema_of(const Request& r) {
  const auto* const source = dynamic_cast<const JsonSchemaSource*>(r.constraint.get());
  return source == nullptr ? Json() : object_of(source->schema()).value_or(Json());
}

bool any_object(const Json& schema) { return schema == Json{{"type", "object"}}; }

std::optional<Json> object_of(std::string_view text) {
  if (json_excess(text) != JsonExcess::none) return std::nullopt;
  Json value = Json::parse(text, nullptr, false);
  if (!value.is_object()) return std::nullopt;
  return value;
}

const Json& member(const Json& object, const char* key) {
  static const Json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

std::optional<std::uint64_t> count(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto n = value.get<std::uint64_t>();
  if (n > 1'000'000'000'000ULL) return std::nullopt;
  return n;
}

std::string text(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

expected<Json> tools_of(const Chat& chat) {
  if (chat.tools.empty()) return Json::array();
  Json tools = json_excess(chat.tools) != JsonExcess::none ? Json() : Json::parse(chat.tools, nullptr, false);
  if (!tools.is_array()) return unexpected(Errc::invalid_argument, "Chat::tools is not a JSON array");
  return tools;
}

std::string dumped(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace frugal::http

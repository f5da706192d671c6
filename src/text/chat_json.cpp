// chat_from_json. The values keep the order of keys and the digits of numbers, so what is handed on as JSON text is what
// was written, but for blanks.
#include <frugal/core/error.hpp>
#include <frugal/text/chat_template.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include "text/jinja/json.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/print.hpp"

namespace frugal {
namespace {

using jinja::Dict;
using jinja::Value;

[[noreturn]] void wrong(const std::string& where, const std::string& what) {
  throw Error(Errc::invalid_argument, where + ": " + what);
}

/// A JSON object that is read field by field; what nobody took is what remains.
class Fields {
 public:
  Fields(const Value& value, std::string where, const char* expectation) : where_(std::move(where)) {
    if (value.dict() == nullptr) wrong(where_, expectation);
    dict_ = value.dict();
  }

  const std::string& where() const { return where_; }
  bool has(const char* key) const { return dict_->find(std::string_view(key)) != nullptr; }
  /// The field, or null where it is absent or JSON's null.
  const Value* take(const char* key) {
    taken_.push_back(key);
    const Value* found = dict_->find(std::string_view(key));
    return found == nullptr || found->is_none() ? nullptr : found;
  }
  std::string text(const char* key, bool required = false) {
    const Value* found = take(key);
    if (found == nullptr && required) wrong(where_, std::string("\"") + key + "\" is missing");
    if (found != nullptr && found->text() == nullptr) wrong(where_, std::string("\"") + key + "\" must be a string");
    return found == nullptr ? std::string() : *found->text();
  }
  /// The fields that were not taken, as a JSON object; empty where there are none.
  std::string rest() const {
    Dict out;
    for (const auto& [key, value] : dict_->entries())
      if (std::find(taken_.begin(), taken_.end(), *key.text()) == taken_.end()) out.set(key, value);
    return out.size() == 0 ? std::string() : jinja::to_json(jinja::make_dict(std::move(out)));
  }
  void refuse_rest() const {
    for (const auto& entry : dict_->entries())
      if (std::find(taken_.begin(), taken_.end(), *entry.first.text()) == taken_.end())
        wrong(where_, "the field \"" + entry.first.text()->substr(0, 80) + "\" is not known");
  }

 private:
  std::string where_;
  const Dict* dict_ = nullptr;
  std::vector<std::string_view> taken_{};
};

ToolCall tool_call_of(const Value& value, const std::string& where) {
  Fields call(value, where, "must be an object");
  const Value* inner = call.take("function");
  if (inner != nullptr && inner->dict() == nullptr) wrong(where, "\"function\" must be an object");
  Fields function(inner != nullptr ? *inner : value, where, "");
  ToolCall out;
  out.id = call.text("id");
  if (call.text("type") != "function" && call.has("type")) wrong(where, "\"type\" must be \"function\"");
  out.name = function.text("name", true);
  const Value* arguments = function.take("arguments");
  if (arguments != nullptr && arguments->dict() != nullptr) {
    out.arguments = jinja::to_json(*arguments);
  } else {
    out.arguments = function.text("arguments", true);
  }
  if (inner != nullptr) {
    function.refuse_rest();
  } else {  // the call itself holds the function's fields
    call.take("name");
    call.take("arguments");
  }
  out.extra = call.rest();
  return out;
}

void read_part(const Value& value, const std::string& where, Message& message) {
  if (value.text() != nullptr) return message.parts.push_back(*value.text());
  Fields part(value, where, "must be an object with \"type\" and \"text\", or a string");
  const std::string type = part.text("type", true);
  if (type != "text")
    throw Error(Errc::unsupported,
                where + ": parts of type \"" + type.substr(0, 80) + "\" are not supported, only \"text\"");
  message.parts.push_back(part.text("text", true));
}

void read_content(Fields& fields, bool may_lack, Message& message) {
  const bool given = fields.has("content");
  const Value* content = fields.take("content");
  if (content == nullptr && !given && !may_lack) wrong(fields.where(), "\"content\" is missing");
  message.null_content = content == nullptr;
  if (content == nullptr) return;
  if (content->text() != nullptr) {
    message.content = *content->text();
    return;
  }
  const jinja::Sequence* parts = content->sequence();
  if (parts == nullptr) wrong(fields.where(), "\"content\" must be a string, null or a list of parts");
  for (const Value& part : parts->items)
    read_part(part, fields.where() + ": content part " + std::to_string(message.parts.size()), message);
}

Message message_of(const Value& value, const std::string& where) {
  Fields fields(value, where, "must be an object with role and content");
  Message out;
  out.role = fields.text("role", true);
  const Value* calls = fields.take("tool_calls");
  if (calls != nullptr && calls->sequence() == nullptr) wrong(where, "\"tool_calls\" must be an array");
  read_content(fields, calls != nullptr, out);
  out.name = fields.text("name");
  out.tool_call_id = fields.text("tool_call_id");
  if (calls != nullptr) {
    for (const Value& call : calls->sequence()->items)
      out.tool_calls.push_back(tool_call_of(call, where + ": tool call " + std::to_string(out.tool_calls.size())));
  }
  out.extra = fields.rest();
  return out;
}

bool flag(Fields& fields, const char* key, bool otherwise) {
  const Value* value = fields.take(key);
  if (value == nullptr) return otherwise;
  if (value->as<bool>() == nullptr) wrong(fields.where(), std::string("\"") + key + "\" must be true or false");
  return *value->as<bool>();
}

std::string json_of(Fields& fields, const char* key) {
  const Value* value = fields.take(key);
  return value == nullptr ? std::string() : jinja::to_json(*value);
}

Chat chat_of(const Value& parsed, const std::string& origin) {
  Chat chat;
  const Value* messages = &parsed;
  if (parsed.sequence() == nullptr) {
    const char* expectation = "must be an array of messages, or an object with a \"messages\" array";
    Fields fields(parsed, origin, expectation);
    messages = fields.take("messages");
    if (messages == nullptr || messages->sequence() == nullptr) wrong(origin, expectation);
    chat.tools = json_of(fields, "tools");
    chat.variables = json_of(fields, "chat_template_kwargs");
    chat.template_name = fields.text("template_name");
    chat.add_generation_prompt = flag(fields, "add_generation_prompt", true);
    fields.refuse_rest();
  }
  for (const Value& each : messages->sequence()->items)
    chat.messages.push_back(message_of(each, origin + ": message " + std::to_string(chat.messages.size())));
  if (chat.messages.empty()) wrong(origin, "holds no message");
  return chat;
}

}  // namespace

Chat chat_from_json(std::string_view json, const std::string& origin) {
  try {
    return chat_of(jinja::parse_json(json, "the text"), origin);
  } catch (const jinja::Failure& failure) {
    throw Error(Errc::bad_file, origin + ": " + failure.message);
  }
}

}  // namespace frugal

// ChatTemplate over the Jinja in text/jinja: the conversation becomes the variables that Hugging Face's
// apply_chat_template passes.
#include <frugal/text/chat_template.hpp>

#include <array>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/date.hpp"
#include "text/jinja/json.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/parser.hpp"
#include "text/jinja/run.hpp"

namespace frugal {
namespace {

using jinja::Dict;
using jinja::MarkedText;
using jinja::Value;

/// Text of the caller's.
Value theirs(const std::string& text) { return Value(MarkedText(text, true)); }

void set(Dict& dict, const char* key, Value value) { dict.set(Value(key), std::move(value)); }

/// Adds the fields of a JSON object; none may be there already.
void add_fields(Dict& dict, const std::string& json, const std::string& what) {
  if (json.empty()) return;
  const Value object = jinja::parse_json(json, what);
  if (object.dict() == nullptr) jinja::fail(what + " must be a JSON object, not a " + object.type_name());
  for (const auto& [key, value] : object.dict()->entries()) {
    if (dict.find(key) != nullptr) jinja::fail(what + " must not hold the field '" + *key.text() + "'");
    dict.set(key, value);
  }
}

/// What a template can do with a conversation, found out when it is compiled.
struct Abilities {
  bool takes_parts = true;                      ///< a message's content may be a list
  bool arguments_as_text = false;               ///< a call's arguments are wanted as JSON text, not as an object
  const char* reasoning = "reasoning_content";  ///< what it calls a message's reasoning
};

Value arguments_value(const ToolCall& call, const std::string& what, const Abilities& able) {
  if (call.arguments.empty()) return able.arguments_as_text ? Value("{}") : jinja::make_dict({});
  Value parsed = jinja::parse_json(call.arguments, "the arguments of " + what);
  return able.arguments_as_text ? theirs(call.arguments) : parsed;
}

Value tool_call_value(const ToolCall& call, const Abilities& able) {
  const std::string what = "tool call '" + call.name + "'";
  Dict function;
  set(function, "name", theirs(call.name));
  set(function, "arguments", arguments_value(call, what, able));
  Dict out;
  if (!call.id.empty()) set(out, "id", theirs(call.id));
  set(out, "type", Value("function"));
  set(out, "function", jinja::make_dict(std::move(function)));
  add_fields(out, call.extra, "extra of " + what);
  return jinja::make_dict(std::move(out));
}

/// Templates make marks of roles, such as '<|' + role + '|>'. A role that everybody knows may become one; any other is a
/// text of the caller's.
Value role_value(const std::string& role) {
  for (const char* known : {"system", "user", "assistant", "tool", "developer", "function", "ipython", "model", "human",
                            "gpt", "tools", "tool_response", "observation", "environment", "context", "documents"})
    if (role == known) return Value(role);
  return theirs(role);
}

Value content_value(const Message& message, const Abilities& able) {
  if (message.null_content && !(message.content.empty() && message.parts.empty()))
    jinja::fail("a message has null_content and a content");
  if (!message.content.empty() && !message.parts.empty()) jinja::fail("a message has a content and parts");
  if (message.null_content) return Value(jinja::None{});
  if (message.parts.empty()) return theirs(message.content);
  std::vector<Value> parts;
  std::string joined;
  for (const std::string& part : message.parts) {
    if (!parts.empty()) joined += '\n';
    joined += part;
    Dict dict;
    set(dict, "type", Value("text"));
    set(dict, "text", theirs(part));
    parts.push_back(jinja::make_dict(std::move(dict)));
  }
  return able.takes_parts ? jinja::make_sequence(std::move(parts)) : theirs(joined);
}

// Optional fields that are empty are left out: templates ask whether a message has them.
Value message_value(const Message& message, const Abilities& able) {
  Dict out;
  set(out, "role", role_value(message.role));
  set(out, "content", content_value(message, able));
  if (!message.name.empty()) set(out, "name", theirs(message.name));
  if (!message.tool_call_id.empty()) set(out, "tool_call_id", theirs(message.tool_call_id));
  if (!message.reasoning.empty()) set(out, able.reasoning, theirs(message.reasoning));
  if (!message.tool_calls.empty()) {
    std::vector<Value> calls;
    for (const ToolCall& call : message.tool_calls) calls.push_back(tool_call_value(call, able));
    set(out, "tool_calls", jinja::make_sequence(std::move(calls)));
  }
  add_fields(out, message.extra, "extra of a message");
  return jinja::make_dict(std::move(out));
}

Value tools_value(const std::string& tools) {
  if (tools.empty()) return Value(jinja::None{});
  Value list = jinja::parse_json(tools, "the list of tools");
  if (list.is_none()) return list;
  if (list.sequence() == nullptr) jinja::fail("the list of tools must be a JSON array, not a " + list.type_name());
  return list;
}

/// Adds variables; a later call does not change what an earlier one said.
void add_variables(Dict& variables, const std::string& json, const std::string& what) {
  Dict given;
  add_fields(given, json, what);
  for (const auto& [key, value] : given.entries()) {
    for (const char* ours : {"messages", "tools", "add_generation_prompt"})
      if (*key.text() == ours) jinja::fail(what + " must not hold '" + ours + "', which is a field of its own");
    if (variables.find(key) != nullptr) continue;
    const bool date = *key.text() == "strftime_now" && value.text() != nullptr;
    variables.set(key, date ? jinja::strftime_function(jinja::parse_moment(*value.text())) : value);
  }
}

/// Where nobody says the date, asking for it fails with a sentence that helps.
Value date_value(const ChatTemplateContext& context) {
  if (context.now) return jinja::strftime_function(*context.now);
  return Value::undefined(
      "'strftime_now' needs a date: ChatTemplateContext::now, or a variable \"strftime_now\" like "
      "\"2025-01-31\"");
}

Dict variables_of(const Chat& chat, const ChatTemplateContext& context, const Abilities& able) {
  Dict out;
  add_variables(out, chat.variables, "Chat::variables");
  add_variables(out, context.extra, "extra");
  std::vector<Value> messages;
  for (const Message& message : chat.messages) messages.push_back(message_value(message, able));
  set(out, "messages", jinja::make_sequence(std::move(messages)));
  set(out, "tools", tools_value(chat.tools));
  set(out, "add_generation_prompt", Value(chat.add_generation_prompt));
  const std::array<std::pair<const char*, Value>, 4> defaults{{{"documents", Value(jinja::None{})},
                                                               {"bos_token", Value(context.bos_token)},
                                                               {"eos_token", Value(context.eos_token)},
                                                               {"strftime_now", date_value(context)}}};
  for (const auto& [name, value] : defaults)
    if (out.find(std::string_view(name)) == nullptr) set(out, name, value);
  return out;
}

std::size_t bytes_of(const Chat& chat, const ChatTemplateContext& context) {
  std::size_t total = chat.tools.size() + chat.variables.size() + context.extra.size();
  for (const Message& message : chat.messages) {
    total += message.content.size() + message.reasoning.size() + message.extra.size() + 256;
    for (const std::string& part : message.parts) total += part.size() + 256;
    for (const ToolCall& call : message.tool_calls) total += call.arguments.size() + call.extra.size() + 256;
  }
  return total;
}

// A long conversation may cost more than a short one; a short one may not cost as much as a long one.
jinja::Limits limits_for(std::size_t input_bytes) {
  jinja::Limits limits;
  limits.steps += 256 * static_cast<std::uint64_t>(input_bytes);
  limits.bytes += 256 * static_cast<std::uint64_t>(input_bytes);
  return limits;
}

Errc code_of(const jinja::Failure& failure) {
  if (failure.kind == jinja::Failure::limit) return Errc::too_large;
  return failure.kind == jinja::Failure::lacking ? Errc::unsupported : Errc::invalid_argument;
}

std::string words_of(const jinja::Failure& failure) {
  return failure.kind == jinja::Failure::lacking ? failure.message + " is not supported" : failure.message;
}

bool names_field(std::string_view source, const std::string& name) {
  for (const std::string& written : {"." + name, "'" + name + "'", '"' + name + '"'})
    if (source.find(written) != std::string_view::npos) return true;
  return false;
}

const char* name_of_reasoning(std::string_view source) {
  for (const char* name : {"reasoning_content", "reasoning", "thinking"})
    if (names_field(source, name)) return name;
  return "reasoning_content";
}

}  // namespace

struct ChatTemplate::Impl {
  std::string name;
  jinja::Block block;
  Abilities able{};

  std::string at(int line) const { return name + ":" + std::to_string(line) + ": "; }
  expected<RenderedPrompt> render(const Chat& chat, const ChatTemplateContext& context) const;
  expected<RenderedPrompt> run(const Dict& variables, const Chat& chat, const ChatTemplateContext& context) const;
  bool takes_parts() const;
  bool wants_arguments_as_text();
};

// A template that knows nothing of parts prints a list as Python does, or fails.
bool ChatTemplate::Impl::takes_parts() const {
  Chat probe;
  probe.messages = {{"user", ""}};
  probe.messages[0].parts = {"frugal probe"};
  const auto parts = render(probe, {});
  if (parts) return parts->text.find("'frugal probe'") == std::string::npos;
  probe.messages = {{"user", "frugal probe"}};
  return !render(probe, {});  // where plain text fails as well the probe says nothing
}

// The arguments of a call are JSON text in the OpenAI API and an object in Hugging Face's. Most templates print an object
// as JSON; some print whichever they are given, and then the text is handed on as it was written; some know texts only.
bool ChatTemplate::Impl::wants_arguments_as_text() {
  const std::string arguments = "{\"frugal\": \"\xC3\xA9\"}";  // some print an object with escapes
  Chat probe;
  probe.messages = {{"user", "x"}, {"assistant", "", "", "", {{"frugal000", "probe", arguments}}}};
  for (const bool null_content : {true, false}) {
    probe.messages[1].null_content = null_content;
    able.arguments_as_text = true;
    const auto text = render(probe, {});
    if (!text || text->text.find(arguments) == std::string::npos) continue;  // not printed as it is
    able.arguments_as_text = false;
    const auto object = render(probe, {});
    return !object || object->text.find("{'frugal'") != std::string::npos || object->text == text->text;
  }
  return false;
}

ChatTemplate::ChatTemplate(std::string_view source, std::string name) {
  auto impl = std::make_unique<Impl>();
  impl->name = std::move(name);
  try {
    impl->block = jinja::parse(source);
  } catch (const jinja::SyntaxError& error) {
    if (error.unsupported) throw Error(Errc::unsupported, impl->at(error.line) + error.message + " is not supported");
    throw Error(Errc::bad_model, impl->at(error.line) + error.message);
  }
  impl->able.reasoning = name_of_reasoning(source);
  impl->able.takes_parts = impl->takes_parts();
  impl->able.arguments_as_text = impl->wants_arguments_as_text();
  impl_ = std::move(impl);
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

expected<RenderedPrompt> ChatTemplate::render(const Chat& chat, const ChatTemplateContext& context) const {
  return impl_->render(chat, context);
}

expected<RenderedPrompt> ChatTemplate::Impl::render(const Chat& chat, const ChatTemplateContext& context) const {
  try {
    return run(variables_of(chat, context, able), chat, context);
  } catch (const jinja::Failure& failure) {
    return unexpected(code_of(failure), name + ": " + words_of(failure));
  } catch (const std::bad_alloc&) {
    return unexpected(Errc::out_of_memory, name + ": no memory for the conversation");
  }
}

expected<RenderedPrompt> ChatTemplate::Impl::run(const Dict& variables, const Chat& chat,
                                                 const ChatTemplateContext& context) const {
  jinja::Run run(variables, limits_for(bytes_of(chat, context)));
  try {
    const MarkedText text = run.render(block);
    const jinja::Sequence* tools = variables.find(std::string_view("tools"))->sequence();
    if (tools != nullptr && !tools->items.empty() && !run.asked_for_tools())
      return unexpected(Errc::unsupported, name + ": the template does not look at tools; the request has " +
                                               std::to_string(tools->items.size()) + " of them");
    return RenderedPrompt{text.bytes(), text.content()};
  } catch (const jinja::Failure& failure) {
    return unexpected(code_of(failure), at(run.line()) + words_of(failure));
  } catch (const std::bad_alloc&) {
    return unexpected(Errc::out_of_memory, at(run.line()) + "no memory");
  }
}

std::string_view ChatTemplate::chatml() noexcept {
  return "{% for message in messages %}"
         "{% if message.tool_calls %}{{ raise_exception('ChatML has no form for tool calls') }}{% endif %}"
         "{{ '<|im_start|>' + message.role + '\\n' + (message.content or '') + '<|im_end|>\\n' }}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
}

}  // namespace frugal

// ChatTemplate over the Jinja in text/jinja: the conversation becomes the variables that Hugging Face's
// apply_chat_template passes.
#include <frugal/text/chat_template.hpp>

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
using jinja::Value;

Value dict_value(std::initializer_list<std::pair<const char*, Value>> entries) {
  Dict out;
  for (const auto& [key, value] : entries) out.set(Value(key), value);
  return jinja::make_dict(std::move(out));
}

Value tool_call_value(const ToolCall& call) {
  Value arguments = call.arguments.empty()
                        ? jinja::make_dict({})
                        : jinja::parse_json(call.arguments, "the arguments of tool call '" + call.name + "'");
  Dict out;
  if (!call.id.empty()) out.set(Value("id"), Value(call.id));
  out.set(Value("type"), Value("function"));
  out.set(Value("function"), dict_value({{"name", Value(call.name)}, {"arguments", std::move(arguments)}}));
  return jinja::make_dict(std::move(out));
}

// Empty optional fields are left out: templates ask whether a message has them.
Value message_value(const Message& message) {
  Dict out;
  out.set(Value("role"), Value(message.role));
  out.set(Value("content"), Value(message.content));
  if (!message.name.empty()) out.set(Value("name"), Value(message.name));
  if (!message.tool_call_id.empty()) out.set(Value("tool_call_id"), Value(message.tool_call_id));
  if (message.tool_calls.empty()) return jinja::make_dict(std::move(out));
  std::vector<Value> calls;
  for (const ToolCall& call : message.tool_calls) calls.push_back(tool_call_value(call));
  out.set(Value("tool_calls"), jinja::make_sequence(std::move(calls)));
  return jinja::make_dict(std::move(out));
}

Value tools_value(const std::string& tools) {
  if (tools.empty()) return Value(jinja::None{});
  Value list = jinja::parse_json(tools, "the list of tools");
  if (list.is_none()) return list;
  if (list.sequence() == nullptr) jinja::fail("the list of tools must be a JSON array, not a " + list.type_name());
  return list;
}

void add_extra(Dict& variables, const std::string& extra) {
  if (extra.empty()) return;
  const Value object = jinja::parse_json(extra, "extra");
  if (object.dict() == nullptr) jinja::fail("extra must be a JSON object, not a " + object.type_name());
  for (const auto& [key, value] : object.dict()->entries()) {
    const bool date = *key.text() == "strftime_now" && value.text() != nullptr;
    variables.set(key, date ? jinja::strftime_function(*value.text()) : value);
  }
}

Dict variables_of(const Chat& chat, const ChatTemplateContext& context) {
  Dict out;
  std::vector<Value> messages;
  for (const Message& message : chat.messages) messages.push_back(message_value(message));
  out.set(Value("messages"), jinja::make_sequence(std::move(messages)));
  out.set(Value("tools"), tools_value(chat.tools));
  out.set(Value("documents"), Value(jinja::None{}));
  out.set(Value("add_generation_prompt"), Value(chat.add_generation_prompt));
  out.set(Value("bos_token"), Value(context.bos_token));
  out.set(Value("eos_token"), Value(context.eos_token));
  add_extra(out, context.extra);
  return out;
}

std::size_t bytes_of(const Chat& chat, const ChatTemplateContext& context) {
  std::size_t total = chat.tools.size() + context.extra.size();
  for (const Message& message : chat.messages) {
    total += message.content.size() + 256;
    for (const ToolCall& call : message.tool_calls) total += call.arguments.size() + 256;
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

}  // namespace

struct ChatTemplate::Impl {
  std::string name;
  jinja::Block block;

  std::string at(int line) const { return name + ":" + std::to_string(line) + ": "; }
};

ChatTemplate::ChatTemplate(std::string_view source, std::string name) {
  auto impl = std::make_unique<Impl>();
  impl->name = std::move(name);
  try {
    impl->block = jinja::parse(source);
  } catch (const jinja::SyntaxError& error) {
    if (error.unsupported) throw Error(Errc::unsupported, impl->at(error.line) + error.message + " is not supported");
    throw Error(Errc::bad_model, impl->at(error.line) + error.message);
  }
  impl_ = std::move(impl);
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

expected<std::string> ChatTemplate::render(const Chat& chat, const ChatTemplateContext& context) const {
  Dict variables;
  try {
    variables = variables_of(chat, context);
  } catch (const jinja::Failure& failure) {
    return unexpected(failure.limit ? Errc::too_large : Errc::invalid_argument, impl_->name + ": " + failure.message);
  } catch (const std::bad_alloc&) {
    return unexpected(Errc::out_of_memory, impl_->name + ": no memory for the conversation");
  }
  jinja::Run run(variables, limits_for(bytes_of(chat, context)));
  try {
    return run.render(impl_->block);
  } catch (const jinja::Failure& failure) {
    return unexpected(failure.limit ? Errc::too_large : Errc::invalid_argument,
                      impl_->at(run.line()) + failure.message);
  } catch (const std::bad_alloc&) {
    return unexpected(Errc::out_of_memory, impl_->at(run.line()) + "no memory");
  }
}

std::string_view ChatTemplate::chatml() noexcept {
  return "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' "
         "}}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
}

}  // namespace frugal

// Anthropic's messages (https://docs.anthropic.com/en/api/messages), from the server's side: the request.
#include "server/anthropic.hpp"

#include <frugal/model/prompt.hpp>

#include <utility>

#include "server/dialect.hpp"
#include "server/reading.hpp"
#include "text/openai_fields.hpp"

namespace frugal::server {

namespace {

void join(std::string& text, const std::string& more) { text += (text.empty() ? "" : "\n") + more; }

// A text, or a list of blocks of text.
std::string plain_text(const Json& value, const std::string& path, bool* cached = nullptr) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) refuse(path, "must be a text or a list of blocks");
  std::string out;
  std::size_t at = 0;
  for (const Json& one : value) {
    const std::string here = path + "[" + std::to_string(at++) + "]";
    Fields block(one, here);
    if (block.need_text("type") != "text")
      refuse(here + ".type", "only blocks of type text are known here", Errc::unsupported);
    join(out, block.need_text("text"));
    if (block.object("cache_control") != nullptr && cached != nullptr) *cached = true;
    block.ignore({"citations"});
    block.refuse_rest();
  }
  return out;
}

// One turn may become several messages: results of tools are messages of their own.
class Turn {
 public:
  Turn(std::string role, std::string path, std::vector<Message>& out)
      : role_(std::move(role)), path_(std::move(path)), out_(out) {}

  void read(const Json& content) {
    if (content.is_string()) {
      add_text(content.get<std::string>());
    } else if (!content.is_array() || content.empty()) {
      refuse(path_, "must be a text or a list of blocks that is not empty");
    } else {
      for (std::size_t i = 0; i < content.size(); ++i) block(content[i], path_ + "[" + std::to_string(i) + "]");
    }
    flush();
  }

 private:
  void block(const Json& one, const std::string& here) {
    Fields fields(one, here);
    const std::string type = fields.need_text("type");
    if (type == "text") {
      add_text(fields.need_text("text"));
    } else if (type == "tool_use" && role_ == "assistant") {
      const std::string id = fields.need_text("id"), name = fields.need_text("name");
      const Json& input = fields.need("input");
      if (!input.is_object()) refuse(here + ".input", "must be an object");
      open().tool_calls.push_back({id, name, dumped(input), {}});
    } else if (type == "tool_result" && role_ == "user") {
      result(fields, here);
    } else if (type == "thinking" && role_ == "assistant") {
      open().reasoning += fields.need_text("thinking");
      fields.ignore({"signature"});
    } else {
      refuse(here + ".type",
             "blocks of type \"" + type.substr(0, 80) + "\" are not known here in a turn of the " + role_,
             Errc::unsupported);
    }
    if (fields.object("cache_control") != nullptr) (open_ ? message_ : out_.back()).cache_point = true;
    fields.ignore({"citations"});
    fields.refuse_rest();
  }

  void result(Fields& fields, const std::string& here) {
    flush();
    Message m;
    m.role = "tool";
    m.tool_call_id = fields.need_text("tool_use_id");
    if (const Json* const content = fields.take("content")) m.content = plain_text(*content, here + ".content");
    if (fields.flag("is_error").value_or(false)) m.content = "Error: " + m.content;
    out_.push_back(std::move(m));
  }

  void add_text(const std::string& text) { join(open().content, text); }

  Message& open() {
    if (!std::exchange(open_, true)) message_.role = role_;
    return message_;
  }

  void flush() {
    if (!std::exchange(open_, false)) return;
    message_.null_content = message_.content.empty() && !message_.tool_calls.empty();
    out_.push_back(std::exchange(message_, {}));
  }

  std::string role_, path_;
  std::vector<Message>& out_;
  Message message_{};
  bool open_ = false;
};

void read_messages(Fields& fields, Chat& chat) {
  if (const Json* const system = fields.take("system")) {
    Message m;
    m.role = "system";
    m.content = plain_text(*system, "system", &m.cache_point);
    if (!m.content.empty()) chat.messages.push_back(std::move(m));
  }
  fields.need("messages");
  const Json& messages = *fields.list("messages");
  if (messages.empty()) refuse("messages", "must hold at least one message");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string here = "messages[" + std::to_string(i) + "]";
    Fields turn(messages[i], here);
    const std::string role = turn.need_text("role");
    if (role != "user" && role != "assistant") refuse(here + ".role", "must be user or assistant");
    if (i + 1 == messages.size() && role == "assistant")
      refuse(here + ".role", "an answer cannot be begun by the client here", Errc::unsupported);
    Turn(role, here + ".content", chat.messages).read(turn.need("content"));
    turn.refuse_rest();
  }
}

Offer read_tools(Fields& fields) {
  Offer offer;
  const Json* const tools = fields.list("tools");
  if (tools == nullptr) return offer;
  for (const Json& one : *tools) {
    const std::string here = "tools[" + std::to_string(offer.names.size()) + "]";
    Fields tool(one, here);
    if (tool.text("type").value_or("custom") != "custom")
      refuse(here + ".type", "tools that a server runs are not offered here", Errc::unsupported);
    const std::string name = tool.need_text("name");
    tool.text("description");
    tool.need("input_schema");
    add_tool(offer, name, tool.take("description"), tool.object("input_schema"), here);
    tool.ignore({"cache_control", "strict"});
    tool.refuse_rest();
  }
  return offer;
}

Choice read_choice(Fields& fields) {
  const Json* const given = fields.object("tool_choice");
  if (given == nullptr) return {};
  Fields choice(*given, "tool_choice");
  const std::string type = choice.need_text("type");
  const bool single = choice.flag("disable_parallel_tool_use").value_or(false);
  if (type == "auto" && single)
    refuse("tool_choice.disable_parallel_tool_use", "a model may make several calls", Errc::unsupported);
  if (type == "auto") return {};
  if (type == "none") return {Choice::Kind::none, {}};
  if (type == "any") return {Choice::Kind::required, {}};
  if (type == "tool") return {Choice::Kind::one, choice.need_text("name")};
  refuse("tool_choice.type", "must be auto, any, tool or none");
}

void read_format(Fields& fields, Job& job) {
  const auto read = [&](const Json* format, const std::string& path) {
    if (format == nullptr) return;
    Fields inner(*format, path);
    if (inner.need_text("type") != "json_schema") refuse(path + ".type", "must be json_schema");
    require_schema(job, inner.need("schema"), path + ".schema");
    inner.refuse_rest();
  };
  read(fields.object("output_format"), "output_format");
  if (const Json* const config = fields.object("output_config")) {
    Fields inner(*config, "output_config");
    read(inner.object("format"), "output_config.format");
    // high is the API's own default: where a model has no such control, it asks for nothing
    const std::optional<std::string> effort = inner.text("effort");
    if (effort && (*effort != "high" || job.served->tools.effort == ToolStyle::Effort::named))
      ask_for_effort(job, *effort, "output_config.effort");
    inner.refuse_rest();
  }
}

void read_thinking(Fields& fields) {
  const Json* const thinking = fields.object("thinking");
  if (thinking == nullptr) return;
  Fields inner(*thinking, "thinking");
  const std::string type = inner.need_text("type");
  if (type != "disabled" && type != "adaptive")  // adaptive: the model decides, as it does here
    refuse("thinking", "a budget for thinking is not offered here", Errc::unsupported);
}

// Everything that shapes the prompt; the same for messages and for counting their tokens.
std::pair<Offer, Choice> read_prompt(Fields& fields, Job& job) {
  read_messages(fields, job.request.prompt.emplace<Chat>());
  std::pair<Offer, Choice> out{read_tools(fields), read_choice(fields)};
  offer_tools(job, out.first, out.second);
  read_format(fields, job);
  read_thinking(fields);
  fields.unsupported("mcp_servers", "servers of tools are not called from here", Json::array());
  fields.unsupported("container", "there are no containers here");
  fields.unsupported("context_management", "a conversation is taken as it is");
  return out;
}

class AnthropicMessages final : public Dialect {
 public:
  void read(const Incoming& incoming, const Catalogue& catalogue, Job& job) const override {
    const Json body = parse_body(incoming.body);
    Fields fields(body, "");
    fields.need("model");
    begin_job(incoming, catalogue, fields, job);
    Request& request = job.request;
    fields.need("max_tokens");
    request.max_tokens = static_cast<std::uint32_t>(*fields.whole("max_tokens", 1, std::uint64_t{1} << 30));
    const auto [offer, choice] = read_prompt(fields, job);
    request.sampling.temperature = static_cast<float>(fields.number("temperature", 0, 1).value_or(1));
    request.sampling.top_p = static_cast<float>(fields.number("top_p", 0, 1).value_or(1));
    request.sampling.top_k = static_cast<std::int32_t>(fields.whole("top_k", 0, 1U << 30).value_or(0));
    request.stop = text::read_stop(fields, "stop_sequences", true);
    fields.ignore({"metadata", "service_tier", "cache_control"});
    fields.refuse_rest();
    job.writer = anthropic_writer(job, splitter_of(job, offer, choice));
  }
  const char* prompt_field() const override { return "messages"; }
  std::string error(const ApiError& e, const std::string& request_id) const override {
    return anthropic_error(e, request_id);
  }
  std::string error_event(const ApiError& e, const std::string& request_id) const override {
    return "event: error\ndata: " + anthropic_error(e, request_id) + "\n\n";
  }
};

}  // namespace

const Dialect& anthropic_messages() {
  static const AnthropicMessages dialect;
  return dialect;
}

std::string anthropic_token_count(const Incoming& incoming, const Catalogue& catalogue) {
  const Json body = parse_body(incoming.body);
  Fields fields(body, "");
  fields.need("model");
  Job job;
  begin_job(incoming, catalogue, fields, job);
  read_prompt(fields, job);
  fields.ignore({"cache_control"});
  fields.refuse_rest();
  if (!job.served->model.model)
    refuse("model",
           "tokens can be counted for one model that runs here, and \"" + job.served->model.name + "\" is none",
           Errc::unsupported);
  const expected<std::size_t> tokens = count_tokens(std::get<Chat>(job.request.prompt), *job.served->model.model);
  if (!tokens) refuse("messages", tokens.error().message(), tokens.error().code());
  return dumped(Json{{"input_tokens", *tokens}});
}

}  // namespace frugal::server

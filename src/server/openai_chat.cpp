// OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), from the server's side.
#include <frugal/text/chat_template.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <utility>

#include "server/beyond_api.hpp"
#include "server/dialect.hpp"
#include "server/openai_answer.hpp"
#include "server/openai_read.hpp"
#include "server/reading.hpp"

namespace frugal::server {

namespace {

std::int64_t now_in_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

// Texts of several parts become one, because most templates know only texts.
void join_parts(Message& m) {
  for (const std::string& part : std::exchange(m.parts, {})) m.content += (m.content.empty() ? "" : "\n") + part;
}

// Templates take any role and stumble over what is null: here both are what the API says.
void settle(Message& m, const std::string& path) {
  constexpr std::array known{"system", "user", "assistant", "tool"};
  if (m.role == "developer") m.role = "system";
  if (std::find(known.begin(), known.end(), m.role) == known.end())
    refuse(path + ".role", "must be system, developer, user, assistant or tool");
  if (m.null_content && m.role != "assistant") refuse(path + ".content", "must be a text");
  if (m.tool_calls.empty()) m.null_content = false;
  join_parts(m);
}

void read_messages(Fields& fields, Chat& chat) {
  Json whole{{"messages", fields.need("messages")}};
  if (const Json* const variables = fields.object("chat_template_kwargs")) whole["chat_template_kwargs"] = *variables;
  try {
    chat = chat_from_json(dumped(whole), "messages");
  } catch (const Error& error) {
    throw Refused{{400, error, "messages", {}, false}};
  }
  for (std::size_t i = 0; i < chat.messages.size(); ++i)
    settle(chat.messages[i], "messages[" + std::to_string(i) + "]");
}

Offer read_tools(Fields& fields) {
  Offer offer;
  const Json* const tools = fields.list("tools");
  if (tools == nullptr) return offer;
  for (const Json& tool : *tools) {
    const std::string path = "tools[" + std::to_string(offer.names.size()) + "]";
    Fields outer(tool, path);
    if (outer.need_text("type") != "function") refuse(path + ".type", "must be \"function\"", Errc::unsupported);
    Fields function(outer.need("function"), path + ".function");
    const std::string name = function.need_text("name");
    function.text("description");
    add_tool(offer, name, function.take("description"), function.object("parameters"), path + ".function");
    function.flag("strict");
    function.refuse_rest();
    outer.refuse_rest();
  }
  return offer;
}

Choice read_choice(Fields& fields) {
  const Json* const given = fields.take("tool_choice");
  if (given == nullptr) return {};
  if (given->is_string()) {
    const std::string word = given->get<std::string>();
    if (word == "auto") return {};
    if (word == "none") return {Choice::Kind::none, {}};
    if (word == "required") return {Choice::Kind::required, {}};
    refuse("tool_choice", "must be auto, none, required, or an object that names a function");
  }
  Fields outer(*given, "tool_choice");
  if (outer.need_text("type") != "function") refuse("tool_choice.type", "must be \"function\"", Errc::unsupported);
  Fields function(outer.need("function"), "tool_choice.function");
  return {Choice::Kind::one, function.need_text("name")};
}

void read_format(Fields& fields, Job& job) {
  const Json* const format = fields.object("response_format");
  if (format == nullptr) return;
  Fields outer(*format, "response_format");
  const std::string type = outer.need_text("type");
  if (type == "text") return;
  if (type == "json_object") return require_schema(job, Json{{"type", "object"}}, "response_format");
  if (type != "json_schema") refuse("response_format.type", "must be text, json_object or json_schema");
  Fields inner(outer.need("json_schema"), "response_format.json_schema");
  inner.ignore({"name", "description", "strict"});
  require_schema(job, inner.need("schema"), "response_format.json_schema.schema");
  inner.refuse_rest();
}

void read_rest(Fields& fields) {
  fields.unsupported("n", "one answer a request; ask again for more", 1);
  fields.unsupported("audio", "there is no audio here");
  fields.unsupported("modalities", "there is only text here", Json::array({"text"}));
  fields.unsupported("functions", "write them as tools");
  fields.unsupported("function_call", "write it as tool_choice");
  fields.unsupported("web_search_options", "there is no web search here");
  fields.unsupported("store", "nothing is stored here", false);
  fields.unsupported("verbosity", "there is no such control here", "medium");
  fields.ignore(
      {"user", "metadata", "service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"});
  fields.refuse_rest();
}

class ChatWriter final : public Writer {
 public:
  ChatWriter(const Job& job, AnswerSplitter splitter, bool with_usage)
      : splitter_(std::move(splitter)),
        tokenizer_(job.request.logprobs ? job.served->model.model->tokenizer() : nullptr),
        stream_(job.stream),
        with_usage_(with_usage),
        model_(job.served->model.name),
        stops_(job.request.stop) {}

  void delta(Delta delta, std::string& out) override {
    std::move(delta.scores.begin(), delta.scores.end(), std::back_inserter(scores_));
    std::vector<AnswerPiece> pieces;
    splitter_.feed(std::move(delta), pieces);
    for (AnswerPiece& piece : pieces) take(std::move(piece), out);
  }

  void finish(const Finish& finish, std::string& out) override {
    std::vector<AnswerPiece> pieces;
    splitter_.end(pieces);
    for (AnswerPiece& piece : pieces) take(std::move(piece), out);
    for (const ToolCall& call : finish.tool_calls) take({AnswerPiece::Kind::call, {}, call}, out);
    if (!stream_) {
      out += dumped(whole(finish));
      return;
    }
    begin(out);
    Json last = chunk(Json::object(), openai_reason(finish, !calls_.empty()));
    if (Json more = beyond_api(finish, stops_); !more.is_null()) last["frugal"] = std::move(more);
    out += sse(last);
    if (with_usage_) {
      Json usage = base("chat.completion.chunk");
      usage["choices"] = Json::array();
      usage["usage"] = openai_usage(finish);
      out += sse(usage);
    }
    out += "data: [DONE]\n\n";
  }

 private:
  Json base(const char* object) const {
    return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
  }

  Json chunk(Json delta, const char* reason) {
    Json out = base("chat.completion.chunk");
    Json choice{{"index", 0}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
    if (reason != nullptr) choice["finish_reason"] = reason;
    if (tokenizer_ != nullptr && !scores_.empty())
      choice["logprobs"] = {{"content", logprobs_of(std::exchange(scores_, {}), *tokenizer_)}};
    out["choices"] = Json::array({std::move(choice)});
    if (with_usage_) out["usage"] = nullptr;
    return out;
  }

  void begin(std::string& out) {
    if (!std::exchange(begun_, true)) out += sse(chunk({{"role", "assistant"}, {"content", ""}}, nullptr));
  }

  void take(AnswerPiece piece, std::string& out) {
    if (piece.kind == AnswerPiece::Kind::call) {
      if (piece.call.id.empty()) piece.call.id = fresh_name("call_");
      calls_.push_back(call_json(piece.call));
    } else if (!stream_) {
      (piece.kind == AnswerPiece::Kind::text ? text_ : thought_) += piece.text;
    }
    if (!stream_) return;
    begin(out);
    if (piece.kind == AnswerPiece::Kind::call) {
      Json call = calls_.back();
      call["index"] = calls_.size() - 1;
      out += sse(chunk({{"tool_calls", Json::array({std::move(call)})}}, nullptr));
    } else {
      const char* const field = piece.kind == AnswerPiece::Kind::text ? "content" : "reasoning_content";
      out += sse(chunk({{field, std::move(piece.text)}}, nullptr));
    }
  }

  static Json call_json(const ToolCall& call) {
    return {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
  }

  Json whole(const Finish& finish) {
    Json message{{"role", "assistant"}, {"content", text_}, {"refusal", nullptr}};
    if (text_.empty() && !calls_.empty()) message["content"] = nullptr;
    if (!thought_.empty()) message["reasoning_content"] = thought_;
    if (!calls_.empty()) message["tool_calls"] = calls_;
    Json choice{{"index", 0},
                {"message", std::move(message)},
                {"logprobs", nullptr},
                {"finish_reason", openai_reason(finish, !calls_.empty())}};
    if (tokenizer_ != nullptr) choice["logprobs"] = {{"content", logprobs_of(scores_, *tokenizer_)}};
    Json out = base("chat.completion");
    out["choices"] = Json::array({std::move(choice)});
    out["usage"] = openai_usage(finish);
    if (Json more = beyond_api(finish, stops_); !more.is_null()) out["frugal"] = std::move(more);
    return out;
  }

  AnswerSplitter splitter_;
  const Tokenizer* tokenizer_;  // null where no log-probabilities were asked for
  bool stream_, with_usage_, begun_ = false;
  std::string model_, id_ = fresh_name("chatcmpl-");
  std::vector<std::string> stops_;
  std::int64_t created_ = now_in_seconds();
  std::string text_{}, thought_{};
  std::vector<TokenScore> scores_{};
  Json calls_ = Json::array();
};

class OpenAiChat final : public OpenAiDialect {
 public:
  void read(const Incoming& incoming, const Catalogue& catalogue, Job& job) const override {
    const Json body = parse_body(incoming.body);
    Fields fields(body, "");
    begin_job(incoming, catalogue, fields, job);
    Request& request = job.request;
    read_messages(fields, request.prompt.emplace<Chat>());
    request.max_tokens = text::read_limit(fields).value_or(0);
    request.sampling = text::read_sampling(fields);
    request.stop = text::read_stop(fields, "stop");
    request.logprobs = text::read_logprobs(fields);
    if (request.logprobs) need_tokenizer(job, "logprobs");
    request.draft.text = text::read_prediction(fields);
    const StreamOptions options = read_stream_options(fields, job.stream);
    const Offer offer = read_tools(fields);
    const Choice choice = read_choice(fields);
    if (const std::optional<std::string> effort = fields.text("reasoning_effort"))
      ask_for_effort(job, *effort, "reasoning_effort");
    offer_tools(job, offer, choice);
    if (!offer.names.empty() && choice.kind == Choice::Kind::automatic)  // else it is one call or none anyway
      fields.unsupported("parallel_tool_calls", "a model may make several calls", true);
    fields.flag("parallel_tool_calls");
    read_format(fields, job);
    read_rest(fields);
    job.writer = std::make_unique<ChatWriter>(job, splitter_of(job, offer, choice), options.usage);
  }
  const char* prompt_field() const override { return "messages"; }
};

}  // namespace

const Dialect& openai_chat() {
  static const OpenAiChat dialect;
  return dialect;
}

}  // namespace frugal::server

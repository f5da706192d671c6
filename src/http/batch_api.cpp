#include "http/batch_api.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

#include "http/dialect.hpp"
#include "http/rate_limits.hpp"

namespace frugal::http {

namespace {

// The JSON object that an ask brings, or the error of its status: invalid_argument and too_large say that the provider
// has understood and will not, everything else may pass.
expected<Json> asked(const BatchApi::Context& c, const Ask& ask) {
  expected<Got> got = fetch(c.options, ask, c.stop);
  if (!got) return unexpected(got.error());
  if (got->status != 200) {
    const Error error = error_of_status(got->status, got->body, c.options.name);
    if (worth_a_retry(got->status) || got->status == 413) return unexpected(error);
    return unexpected(Errc::invalid_argument, error.message());
  }
  std::optional<Json> object = object_of(got->body);
  if (!object) return unexpected(Errc::unavailable, "endpoint " + c.options.name + ": the answer is not a JSON object");
  return std::move(*object);
}

expected<std::string> id_in(const BatchApi::Context& c, const Json& object) {
  std::string id = text(object, "id");
  const bool plain =
      std::all_of(id.begin(), id.end(), [](unsigned char b) { return std::isalnum(b) != 0 || b == '-' || b == '_'; });
  if (id.empty() || id.size() > 200 || !plain)
    return unexpected(Errc::unavailable, "endpoint " + c.options.name + ": the answer has no usable id");
  return id;
}

bool known(const BatchApi::Sought& sought, const std::string& id) {
  return std::find(sought.others.begin(), sought.others.end(), id) != sought.others.end();
}

Error failed(const std::string& endpoint, Errc code, const std::string& said) {
  return Error(code, "endpoint " + endpoint + ": " + (said.empty() ? "the batch gives no reason" : said));
}

// https://platform.openai.com/docs/api-reference/batch
class OpenAiBatches final : public BatchApi {
 public:
  explicit OpenAiBatches(const char* path) : path_(path) {}

  expected<std::string> submit(const Context& c, const std::vector<BatchItem>& items,
                               const std::string& mark) const override {
    std::string file;
    for (const BatchItem& item : items)
      file +=
          R"({"custom_id":")" + item.id + R"(","method":"POST","url":")" + path_ + R"(","body":)" + item.body + "}\n";
    const expected<Json> uploaded = asked(c, {.url = c.options.url + "/files", .upload = std::move(file)});
    if (!uploaded) return unexpected(uploaded.error());
    const expected<std::string> input = id_in(c, *uploaded);
    if (!input) return unexpected(input.error());
    const Json order{
        {"input_file_id", *input}, {"endpoint", path_}, {"completion_window", "24h"}, {"metadata", {{"frugal", mark}}}};
    const expected<Json> made =
        asked(c, {.url = c.options.url + "/batches", .body = dumped(order), .repeatable = false});
    if (!made) return unexpected(made.error());
    return id_in(c, *made);
  }

  expected<std::optional<std::string>> find(const Context& c, const Sought& sought) const override {
    const expected<Json> list = asked(c, {.url = c.options.url + "/batches?limit=100"});
    if (!list) return unexpected(list.error());
    for (const Json& batch : member(*list, "data"))
      if (text(member(batch, "metadata"), "frugal") == sought.mark) {
        expected<std::string> id = id_in(c, batch);
        if (!id) return unexpected(id.error());
        return std::optional(std::move(*id));
      }
    return std::optional<std::string>();
  }

  expected<BatchLook> look(const Context& c, const std::string& id) const override {
    const expected<Json> batch = asked(c, {.url = c.options.url + "/batches/" + id});
    if (!batch) return unexpected(batch.error());
    const std::string status = text(*batch, "status");
    BatchLook out;
    out.ended = status == "completed" || status == "failed" || status == "expired" || status == "cancelled";
    for (const char* key : {"output_file_id", "error_file_id"})
      if (const std::string file = text(*batch, key); !file.empty())
        out.results.push_back(c.options.url + "/files/" + file + "/content");
    if (status == "failed") {
      const Json& errors = member(member(*batch, "errors"), "data");
      out.fault = errors.is_array() && !errors.empty() ? text(errors.front(), "message") : "it failed";
    }
    return out;
  }

  std::optional<BatchResult> read(std::string_view line, const std::string& endpoint) const override {
    const std::optional<Json> object = object_of(line);
    if (!object || text(*object, "custom_id").empty()) return std::nullopt;
    BatchResult out{.id = text(*object, "custom_id")};
    const Json& response = member(*object, "response");
    const Json& body = member(response, "body");
    const std::uint64_t status = count(response, "status_code").value_or(0);
    if (status == 200 && body.is_object())
      body.contains("output") ? add_response(body, out) : add_events(body, out);
    else if (status != 0)
      out.error = error_of_status(static_cast<long>(status), dumped(body), endpoint);
    else
      out.error = failed(endpoint, Errc::unavailable, text(member(*object, "error"), "message"));
    return out;
  }

 private:
  // A whole completion is one chunk whose message is called delta, and whose calls carry their places.
  static void add_events(const Json& body, BatchResult& out) {
    Json chunk = body;
    if (chunk.contains("choices") && chunk["choices"].is_array() && !chunk["choices"].empty()) {
      Json& choice = chunk["choices"].front();
      if (choice.is_object() && choice.contains("message")) {
        Json delta = choice["message"];
        if (delta.is_object() && delta.contains("tool_calls") && delta["tool_calls"].is_array()) {
          std::size_t at = 0;
          for (Json& call : delta["tool_calls"])
            if (call.is_object()) call["index"] = at++;
        }
        choice["delta"] = std::move(delta);
      }
    }
    out.events.push_back({.data = dumped(chunk)});
    out.events.push_back({.data = "[DONE]"});
  }

  // The items of a response, each as the event that brings its whole content, then the end as a stream has it.
  static void add_response(const Json& body, BatchResult& out) {
    const auto add = [&](const Json& event) { out.events.push_back({.data = dumped(event)}); };
    const auto list = [](const Json& value) { return value.is_array() ? value : Json::array(); };
    std::size_t at = 0;
    for (const Json& item : list(member(body, "output"))) {
      if (text(item, "type") == "function_call")
        add({{"type", "response.output_item.added"}, {"output_index", at}, {"item", item}});
      for (const Json& part : list(member(item, "summary")))
        add({{"type", "response.reasoning_summary_text.delta"}, {"delta", text(part, "text")}});
      for (const Json& part : list(member(item, "content"))) {
        const bool refusal = text(part, "type") == "refusal";
        add({{"type", refusal ? "response.refusal.delta" : "response.output_text.delta"},
             {"delta", text(part, refusal ? "refusal" : "text")},
             {"logprobs", member(part, "logprobs")}});
      }
      ++at;
    }
    add({{"type", "response." + text(body, "status")}, {"response", body}});
  }

  const char* path_;
};

// https://docs.anthropic.com/en/api/creating-message-batches
class AnthropicBatches final : public BatchApi {
 public:
  expected<std::string> submit(const Context& c, const std::vector<BatchItem>& items,
                               const std::string&) const override {
    std::string body = R"({"requests":[)";
    for (const BatchItem& item : items) {
      if (&item != &items.front()) body += ',';
      body += R"({"custom_id":")" + item.id + R"(","params":)" + item.body + "}";
    }
    body += "]}";
    const expected<Json> made = asked(c, {.url = base(c), .body = std::move(body), .repeatable = false});
    if (!made) return unexpected(made.error());
    return id_in(c, *made);
  }

  // A batch has no name of its own here: it is the only one of its size that was made since and is not known.
  expected<std::optional<std::string>> find(const Context& c, const Sought& sought) const override {
    const expected<Json> list = asked(c, {.url = base(c) + "?limit=100"});
    if (!list) return unexpected(list.error());
    std::vector<std::string> found;
    for (const Json& batch : member(*list, "data")) {
      std::uint64_t requests = 0;
      for (const char* key : {"processing", "succeeded", "errored", "canceled", "expired"})
        requests += count(member(batch, "request_counts"), key).value_or(0);
      const auto made = utc_of(text(batch, "created_at"));
      const expected<std::string> id = id_in(c, batch);
      if (id && made && *made >= sought.since && requests == sought.requests && !known(sought, *id))
        found.push_back(*id);
    }
    if (found.size() > 1)
      return unexpected(Errc::unavailable, "endpoint " + c.options.name + ": which of the batches " + found[0] +
                                               " and " + found[1] +
                                               " was sent before the program died cannot be told; look at the "
                                               "provider's console, then remove the state file");
    if (found.empty()) return std::optional<std::string>();
    return std::optional(std::move(found.front()));
  }

  expected<BatchLook> look(const Context& c, const std::string& id) const override {
    const expected<Json> batch = asked(c, {.url = base(c) + "/" + id});
    if (!batch) return unexpected(batch.error());
    BatchLook out;
    out.ended = text(*batch, "processing_status") == "ended";
    if (!out.ended) return out;
    // The key goes to the API that it is for, whatever address an answer names.
    const std::string named = text(*batch, "results_url");
    const bool ours = named.substr(0, c.options.url.size() + 1) == c.options.url + "/";
    out.results.push_back(ours ? named : base(c) + "/" + id + "/results");
    return out;
  }

  std::optional<BatchResult> read(std::string_view line, const std::string& endpoint) const override {
    const std::optional<Json> object = object_of(line);
    if (!object || text(*object, "custom_id").empty()) return std::nullopt;
    BatchResult out{.id = text(*object, "custom_id")};
    const Json& result = member(*object, "result");
    const std::string type = text(result, "type");
    if (type == "succeeded")
      add_events(member(result, "message"), out);
    else if (type == "errored")
      add_error(member(member(result, "error"), "error"), endpoint, out);
    else
      out.error = failed(endpoint, Errc::unavailable, "the provider says of the request: " + type);
    return out;
  }

 private:
  static std::string base(const Context& c) { return c.options.url + "/messages/batches"; }

  static void add_error(const Json& error, const std::string& endpoint, BatchResult& out) {
    const bool ours = text(error, "type") == "invalid_request_error";
    out.error = failed(endpoint, ours ? Errc::invalid_argument : Errc::unavailable, text(error, "message"));
  }

  static void add_events(const Json& message, BatchResult& out) {
    const auto add = [&](const Json& event) { out.events.push_back({.data = dumped(event)}); };
    add({{"type", "message_start"}, {"message", {{"model", text(message, "model")}}}});
    std::size_t at = 0;
    const Json& content = member(message, "content");
    for (const Json& block : content.is_array() ? content : Json::array()) {
      add({{"type", "content_block_start"}, {"index", at}, {"content_block", block}});
      Json delta{{"type", "text_delta"}, {"text", text(block, "text")}};
      if (text(block, "type") == "tool_use")
        delta = {{"type", "input_json_delta"}, {"partial_json", dumped(member(block, "input"))}};
      if (text(block, "type") == "thinking")
        delta = {{"type", "thinking_delta"}, {"thinking", text(block, "thinking")}};
      if (text(block, "type") == "tool_use" || text(block, "type") == "text" || text(block, "type") == "thinking")
        add({{"type", "content_block_delta"}, {"index", at}, {"delta", std::move(delta)}});
      ++at;
    }
    Json end{{"stop_reason", member(message, "stop_reason")}, {"stop_sequence", member(message, "stop_sequence")}};
    add({{"type", "message_delta"}, {"delta", std::move(end)}, {"usage", member(message, "usage")}});
    add({{"type", "message_stop"}});
  }
};

}  // namespace

const BatchApi& batch_api_of(HttpApi api) {
  static const OpenAiBatches chat("/v1/chat/completions"), completions("/v1/completions"), responses("/v1/responses");
  static const AnthropicBatches anthropic;
  switch (api) {
    case HttpApi::openai_chat:
      return chat;
    case HttpApi::openai_completions:
      return completions;
    case HttpApi::openai_responses:
      return responses;
    case HttpApi::anthropic_messages:
      break;
  }
  return anthropic;
}

std::string batch_body(const std::string& post_body) {
  Json body = Json::parse(post_body, nullptr, false);
  if (!body.is_object()) return post_body;
  body.erase("stream");
  body.erase("stream_options");
  return dumped(body);
}

}  // namespace frugal::http

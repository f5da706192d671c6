// Anthropic's answers: a list of blocks, whole or as events that open, fill and close them one after the other.
#include <algorithm>
#include <utility>

#include "server/anthropic.hpp"
#include "server/beyond_api.hpp"
#include "server/json.hpp"
#include "server/reading.hpp"

namespace frugal::server {

namespace {

std::string event(const char* type, Json data) {
  Json whole{{"type", type}};
  whole.update(data);
  return std::string("event: ") + type + "\ndata: " + dumped(whole) + "\n\n";
}

// Its parts exclude each other.
Json usage_of(const Usage& u) {
  return {{"input_tokens", u.input - std::min(u.input, u.cached_read + u.cache_write)},
          {"cache_creation_input_tokens", u.cache_write},
          {"cache_read_input_tokens", u.cached_read},
          {"output_tokens", u.output}};
}

class AnthropicWriter final : public Writer {
 public:
  AnthropicWriter(const Job& job, AnswerSplitter splitter)
      : splitter_(std::move(splitter)), stream_(job.stream), model_(job.served->model.name), stops_(job.request.stop) {}

  void prompt(std::uint64_t tokens) override { prompt_ = tokens; }

  void delta(Delta delta, std::string& out) override {
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
      Json whole = message(finish.answer_usage());
      whole["content"] = std::move(blocks_);
      whole.update(ending(finish));
      if (Json more = beyond_api(finish, stops_); !more.is_null()) whole["frugal"] = std::move(more);
      out += dumped(whole);
      return;
    }
    begin(out);
    close(out);
    Json last{{"delta", ending(finish)}, {"usage", usage_of(finish.answer_usage())}};
    if (Json more = beyond_api(finish, stops_); !more.is_null()) last["frugal"] = std::move(more);
    out += event("message_delta", std::move(last));
    out += event("message_stop", Json::object());
  }

  std::string heartbeat() const override { return event("ping", Json::object()); }

 private:
  Json message(const Usage& usage) const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", model_},
            {"content", Json::array()},
            {"stop_reason", nullptr},
            {"stop_sequence", nullptr},
            {"usage", usage_of(usage)}};
  }

  Json ending(const Finish& finish) const {
    const std::optional<std::string> matched = matched_stop(finish, stops_);
    Json out{{"stop_reason", "end_turn"}, {"stop_sequence", nullptr}};
    if (finish.reason != FinishReason::stop) {
      out["stop_reason"] = "max_tokens";  // also where a cap or a deadline cut it short
    } else if (matched) {
      out["stop_reason"] = "stop_sequence";
      out["stop_sequence"] = *matched;
    } else if (called_) {
      out["stop_reason"] = "tool_use";
    }
    return out;
  }

  void begin(std::string& out) {
    if (std::exchange(begun_, true)) return;
    out += event("message_start", {{"message", message(Usage{.input = prompt_})}});
  }

  void close(std::string& out) {
    if (std::exchange(open_, false)) out += event("content_block_stop", {{"index", blocks_.size() - 1}});
  }

  // The block that this piece belongs to is the last one, and open.
  void open(const AnswerPiece& piece, std::string& out) {
    const bool goes_on = open_ && kind_ == piece.kind && piece.kind != AnswerPiece::Kind::call;
    if (goes_on) return;
    if (stream_) close(out);
    kind_ = piece.kind;
    open_ = true;
    if (piece.kind == AnswerPiece::Kind::text)
      blocks_.push_back({{"type", "text"}, {"text", ""}});
    else if (piece.kind == AnswerPiece::Kind::thought)
      blocks_.push_back({{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
    else
      blocks_.push_back({{"type", "tool_use"},
                         {"id", piece.call.id.empty() ? fresh_name("toolu_") : piece.call.id},
                         {"name", piece.call.name},
                         {"input", Json::object()}});
    if (stream_) {
      begin(out);
      out += event("content_block_start", {{"index", blocks_.size() - 1}, {"content_block", blocks_.back()}});
    }
  }

  void take(AnswerPiece piece, std::string& out) {
    open(piece, out);
    Json delta;
    if (piece.kind == AnswerPiece::Kind::text) {
      delta = {{"type", "text_delta"}, {"text", piece.text}};
    } else if (piece.kind == AnswerPiece::Kind::thought) {
      delta = {{"type", "thinking_delta"}, {"thinking", piece.text}};
    } else {
      called_ = true;
      delta = {{"type", "input_json_delta"}, {"partial_json", piece.call.arguments}};
    }
    if (stream_) {
      out += event("content_block_delta", {{"index", blocks_.size() - 1}, {"delta", std::move(delta)}});
      return;
    }
    Json& block = blocks_.back();
    if (piece.kind == AnswerPiece::Kind::call)
      block["input"] = Json::parse(piece.call.arguments, nullptr, false).is_object() ? Json::parse(piece.call.arguments)
                                                                                     : Json::object();
    else
      block[piece.kind == AnswerPiece::Kind::text ? "text" : "thinking"].get_ref<std::string&>() += piece.text;
  }

  AnswerSplitter splitter_;
  bool stream_, begun_ = false, open_ = false, called_ = false;
  AnswerPiece::Kind kind_{};
  std::uint64_t prompt_ = 0;
  std::string model_, id_ = fresh_name("msg_");
  std::vector<std::string> stops_;
  Json blocks_ = Json::array();
};

}  // namespace

std::unique_ptr<Writer> anthropic_writer(const Job& job, AnswerSplitter splitter) {
  return std::make_unique<AnthropicWriter>(job, std::move(splitter));
}

}  // namespace frugal::server

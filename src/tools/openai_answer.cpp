#include "tools/openai_answer.hpp"

#include <string_view>

#include "core/version_text.hpp"

namespace frugal::tools {

using json = nlohmann::ordered_json;

namespace {

std::string_view bytes_of(Token token, const Tokenizer* tokenizer) {
  return tokenizer == nullptr ? std::string_view() : tokenizer->bytes(token);
}

json chat_token(Token token, float logprob, const Tokenizer* tokenizer) {
  const std::string_view bytes = bytes_of(token, tokenizer);
  json list = json::array();
  for (const char c : bytes) list.push_back(static_cast<unsigned char>(c));
  return {{"token", std::string(bytes)}, {"logprob", logprob}, {"bytes", std::move(list)}};
}

json chat_logprobs(const Answer& answer, const Tokenizer* tokenizer) {
  json content = json::array();
  for (const TokenScore& score : answer.scores) {
    json entry = chat_token(score.token, score.logprob, tokenizer);
    json top = json::array();
    for (const TokenLogprob& other : score.top) top.push_back(chat_token(other.token, other.logprob, tokenizer));
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

json completion_logprobs(const Answer& answer, const Tokenizer* tokenizer) {
  json tokens = json::array(), logprobs = json::array(), tops = json::array(), offsets = json::array();
  std::size_t offset = 0;
  for (const TokenScore& score : answer.scores) {
    const std::string_view bytes = bytes_of(score.token, tokenizer);
    tokens.push_back(std::string(bytes));
    logprobs.push_back(score.logprob);
    offsets.push_back(offset);
    offset += bytes.size();
    json top = json::object();
    for (const TokenLogprob& other : score.top) top[std::string(bytes_of(other.token, tokenizer))] = other.logprob;
    tops.push_back(std::move(top));
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

json usage_of(const Finish& finish) {
  const Usage& u = finish.usage;
  json details{{"reasoning_tokens", u.reasoning}};
  if (const DraftLedger drafts = finish.ledger.drafts(); drafts.drafted > 0) {
    details["accepted_prediction_tokens"] = drafts.accepted;
    details["rejected_prediction_tokens"] = drafts.wasted();
  }
  return {{"prompt_tokens", u.input},
          {"completion_tokens", u.output},
          {"total_tokens", u.input + u.output},
          {"prompt_tokens_details", {{"cached_tokens", u.cached_read}}},
          {"completion_tokens_details", std::move(details)}};
}

std::string fingerprint() { return "frugal-" + version_text(); }

json choice_of(const OpenAiAnswer& of, const Answer& answer, const Tokenizer* tokenizer) {
  const bool chat = of.kind == OpenAiKind::chat_completion;
  json choice{{"index", 0}};
  if (chat)
    choice["message"] = {{"role", "assistant"}, {"content", answer.text}, {"refusal", nullptr}};
  else
    choice["text"] = answer.text;
  choice["logprobs"] = !of.logprobs ? json()
                       : chat       ? chat_logprobs(answer, tokenizer)
                                    : completion_logprobs(answer, tokenizer);
  choice["finish_reason"] = answer.finish.reason == FinishReason::stop ? "stop" : "length";
  return choice;
}

}  // namespace

json openai_body(const OpenAiAnswer& of, const Answer& answer, const Tokenizer* tokenizer) {
  const bool chat = of.kind == OpenAiKind::chat_completion;
  return {{"id", (chat ? "chatcmpl-" : "cmpl-") + of.id},
          {"object", chat ? "chat.completion" : "text_completion"},
          {"created", of.created},
          {"model", answer.finish.model},
          {"choices", json::array({choice_of(of, answer, tokenizer)})},
          {"usage", usage_of(answer.finish)},
          {"system_fingerprint", fingerprint()}};
}

int openai_status(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
    case Errc::bad_file:
    case Errc::unsupported:
    case Errc::too_large:
      return 400;
    case Errc::busy:
    case Errc::over_budget:
      return 429;
    case Errc::denied:
      return 502;
    case Errc::unavailable:
      return 503;
    default:
      return 500;
  }
}

json openai_error_body(const Error& error, const std::string& param) {
  const char* type = openai_status(error.code()) < 500 ? "invalid_request_error" : "server_error";
  return {{"error",
           {{"message", error.message()},
            {"type", type},
            {"param", param.empty() ? json() : json(param)},
            {"code", std::string(to_string(error.code()))}}}};
}

}  // namespace frugal::tools

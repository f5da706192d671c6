#include "server/openai_answer.hpp"

namespace frugal::server {

namespace {

Json entry(Token token, float logprob, const Tokenizer& tokenizer) {
  Json bytes = Json::array();
  for (const char c : tokenizer.bytes(token)) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", token_text(token, tokenizer)}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

}  // namespace

std::string token_text(Token token, const Tokenizer& tokenizer) { return std::string(tokenizer.bytes(token)); }

Json openai_usage(const Finish& finish) {
  const Usage& u = finish.answer_usage();
  return {{"prompt_tokens", u.input},
          {"completion_tokens", u.output},
          {"total_tokens", u.input + u.output},
          {"prompt_tokens_details", {{"cached_tokens", u.cached_read}}},
          {"completion_tokens_details", {{"reasoning_tokens", u.reasoning}}}};
}

const char* openai_reason(const Finish& finish, bool called) {
  if (finish.reason != FinishReason::stop) return "length";  // also where a cap or a deadline cut it short
  return called ? "tool_calls" : "stop";
}

std::string sse(const Json& data) { return "data: " + dumped(data) + "\n\n"; }

Json logprobs_of(const std::vector<TokenScore>& scores, const Tokenizer& tokenizer) {
  Json out = Json::array();
  for (const TokenScore& score : scores) {
    Json one = entry(score.token, score.logprob, tokenizer);
    one["top_logprobs"] = Json::array();
    for (const TokenLogprob& other : score.top)
      one["top_logprobs"].push_back(entry(other.token, other.logprob, tokenizer));
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace frugal::server

#include "tools/report.hpp"

#include <nlohmann/json.hpp>

#include "meter/ledger_json.hpp"

namespace frugal::tools {

using json = nlohmann::ordered_json;

namespace {

using meter::to_json;

json to_json(const Ledger& ledger) {
  json attempts = json::array();
  for (const Attempt& a : ledger.attempts)
    attempts.push_back({{"endpoint", a.endpoint},
                        {"model", a.model},
                        {"usage", to_json(a.usage)},
                        {"tokens", to_json(a.tokens)},
                        {"score", a.score ? json(*a.score) : json()},
                        {"accepted", a.accepted}});
  json object{{"attempts", attempts}, {"total", to_json(ledger.total())}};
  if (const DraftLedger drafts = ledger.drafts(); drafts.drafted > 0) object["drafts"] = to_json(drafts);
  return object;
}

json to_json(const Timing& timing, std::uint64_t output_tokens) {
  const auto tpot = timing.tpot(output_tokens);
  return {{"ttft_ms", timing.ttft == Duration{} ? json() : json(milliseconds(timing.ttft))},
          {"tpot_ms", tpot ? json(milliseconds(*tpot)) : json()},
          {"queue_ms", milliseconds(timing.queue)},
          {"e2e_ms", milliseconds(timing.e2e)},
          {"stalled_ms", timing.stalled ? json(milliseconds(*timing.stalled)) : json()}};
}

json token_json(Token token, float logprob, const Tokenizer* tokenizer) {
  json entry{{"id", token}, {"logprob", logprob}};
  if (tokenizer != nullptr) entry["text"] = std::string(tokenizer->bytes(token));
  return entry;
}

json to_json(const std::vector<TokenScore>& scores, const Tokenizer* tokenizer) {
  json list = json::array();
  for (const TokenScore& score : scores) {
    json entry = token_json(score.token, score.logprob, tokenizer);
    json top = json::array();
    for (const TokenLogprob& other : score.top) top.push_back(token_json(other.token, other.logprob, tokenizer));
    entry["top"] = std::move(top);
    list.push_back(std::move(entry));
  }
  return list;
}

json to_json(const DocumentReport& document) {
  json object{{"complete", document.complete}, {"closing_tokens", document.closing_tokens}};
  if (!document.verdict) return object;
  object["valid"] = document.verdict->valid ? json(*document.verdict->valid) : json(nullptr);
  if (!document.verdict->why.empty()) object["why"] = document.verdict->why;
  return object;
}

}  // namespace

std::string answer_as_json(const Answer& answer, bool with_logprobs, const Tokenizer* tokenizer) {
  const Finish& finish = answer.finish;
  json object{{"ids", answer.tokens}, {"text", answer.text}, {"finish", to_string(finish.reason)}};
  if (!finish.detail.empty()) object["detail"] = finish.detail;
  if (finish.error) object["error"] = {{"code", to_string(finish.error->code())}, {"message", finish.error->message()}};
  if (finish.document) object["document"] = to_json(*finish.document);
  object["model"] = finish.model;
  object["seed"] = finish.seed;
  object["usage"] = to_json(finish.usage);
  object["timing"] = to_json(finish.timing, finish.usage.output);
  object["ledger"] = to_json(finish.ledger);
  if (with_logprobs) object["logprobs"] = to_json(answer.scores, tokenizer);
  // A token may be half a character: such bytes become U+FFFD, for JSON is UTF-8.
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace frugal::tools

// OpenAI's plain completions, streamed: https://platform.openai.com/docs/api-reference/completions and what compatible
// servers make of it. The prompt goes to the model as it is.
#include <algorithm>
#include <utility>

#include "http/api.hpp"
#include "http/dialect.hpp"
#include "http/reported.hpp"

namespace frugal::http {

namespace {

void add_sampling(Json& body, const Request& r) {
  const Sampling& s = r.sampling;
  body["temperature"] = s.temperature;
  if (s.top_p != 1.0F) body["top_p"] = s.top_p;
  if (s.presence_penalty != 0.0F) body["presence_penalty"] = s.presence_penalty;
  if (s.frequency_penalty != 0.0F) body["frequency_penalty"] = s.frequency_penalty;
  if (s.seed) body["seed"] = *s.seed;
  if (s.top_k != 0) body["top_k"] = s.top_k;
  if (s.min_p != 0.0F) body["min_p"] = s.min_p;
  if (s.repetition_penalty != 1.0F) body["repetition_penalty"] = s.repetition_penalty;
  if (r.scores || r.logprobs) body["logprobs"] = std::max<std::uint32_t>(r.logprobs.value_or(0), r.scores ? 2 : 0);
}

class CompletionsReader final : public Reader {
 private:
  Delta read(const Json& chunk) override {
    Delta out;
    if (const Json& error = member(chunk, "error"); !error.is_null())
      so_far_.error = Error(Errc::unavailable, text(error, "message").empty() ? dumped(error) : text(error, "message"));
    if (so_far_.model.empty()) so_far_.model = text(chunk, "model");
    if (const Json& usage = member(chunk, "usage"); usage.is_object()) note_usage(usage, completions_usage(usage));
    const Json& choices = member(chunk, "choices");
    if (!choices.is_array() || choices.empty()) return out;
    const Json& choice = choices.front();
    out.text = text(choice, "text");
    read_scores(member(choice, "logprobs"), out);
    if (const std::string reason = text(choice, "finish_reason"); !reason.empty()) end(reason);
    return out;
  }

  // {"token_logprobs": [-0.1], "top_logprobs": [{" Paris": -0.1, " the": -3}]}
  static void read_scores(const Json& scores, Delta& out) {
    const Json& own = member(scores, "token_logprobs");
    const Json& top = member(scores, "top_logprobs");
    if (!own.is_array()) return;
    for (std::size_t i = 0; i < own.size(); ++i) {
      if (!own[i].is_number()) continue;
      std::vector<float> best;
      if (top.is_array() && i < top.size() && top[i].is_object())
        for (const auto& [token, p] : top[i].items())
          if (p.is_number()) best.push_back(p.get<float>());
      out.scores.push_back(score_of(own[i].get<float>(), std::move(best)));
    }
  }

  void end(const std::string& reason) {
    so_far_.reason = reason == "length" ? FinishReason::length : FinishReason::stop;
    if (reason != "stop" && reason != "length") so_far_.detail = reason;
  }
};

class OpenAiCompletions final : public Api {
 public:
  expected<Post> post(const Request& r, const HttpOptions& o, const CachePlan&) const override {
    if (std::optional<Error> no = unsayable(r, o)) return unexpected(*no);
    const Sampling& s = r.sampling;
    if (!o.extended_sampling && (s.top_k != 0 || s.min_p != 0.0F || s.repetition_penalty != 1.0F))
      return unexpected(Errc::unsupported, "endpoint " + o.name + ": top_k, min_p and repetition_penalty need " +
                                               "HttpOptions::extended_sampling");
    Json body{{"model", o.model}, {"prompt", std::get<RawPrompt>(r.prompt).text}};
    body["max_tokens"] = r.max_tokens > 0 ? r.max_tokens : o.default_max_tokens;  // the API's own default is 16
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
    add_sampling(body, r);
    if (!r.stop.empty()) body["stop"] = r.stop;
    return Post{o.url + "/completions", dumped(body), {}};
  }
  std::unique_ptr<Reader> reader(const Request&) const override { return std::make_unique<CompletionsReader>(); }
  KeyHeader key_header() const override { return {"Authorization", "Bearer "}; }
};

}  // namespace

const Api& openai_completions() {
  static const OpenAiCompletions api;
  return api;
}

}  // namespace frugal::http

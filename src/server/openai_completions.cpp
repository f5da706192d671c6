// OpenAI's plain completions (https://platform.openai.com/docs/api-reference/completions): text or tokens that go to the
// model as they are.
#include <chrono>
#include <utility>

#include "server/beyond_api.hpp"
#include "server/dialect.hpp"
#include "server/openai_answer.hpp"
#include "server/openai_read.hpp"
#include "server/reading.hpp"

namespace frugal::server {

namespace {

constexpr std::uint64_t usual_tokens = 16;  // the API's own default

class TextWriter final : public Writer {
 public:
  TextWriter(const Job& job, bool with_usage)
      : tokenizer_(job.request.logprobs ? job.served->model.model->tokenizer() : nullptr),
        stream_(job.stream),
        with_usage_(with_usage),
        model_(job.served->model.name),
        stops_(job.request.stop) {}

  void delta(Delta delta, std::string& out) override {
    std::move(delta.scores.begin(), delta.scores.end(), std::back_inserter(scores_));
    if (!stream_)
      text_ += delta.text;
    else if (!delta.text.empty())
      out += sse(choice(std::move(delta.text), nullptr));
  }

  void finish(const Finish& finish, std::string& out) override {
    Json last = choice(text_, openai_reason(finish, false));
    if (Json more = beyond_api(finish, stops_); !more.is_null()) last["frugal"] = std::move(more);
    if (!stream_) {
      last["usage"] = openai_usage(finish);
      out += dumped(last);
      return;
    }
    out += sse(last);
    if (with_usage_) {
      Json usage = base();
      usage["choices"] = Json::array();
      usage["usage"] = openai_usage(finish);
      out += sse(usage);
    }
    out += "data: [DONE]\n\n";
  }

 private:
  Json base() const { return {{"id", id_}, {"object", "text_completion"}, {"created", created_}, {"model", model_}}; }

  Json choice(std::string text, const char* reason) {
    Json one{{"text", std::move(text)}, {"index", 0}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
    if (reason != nullptr) one["finish_reason"] = reason;
    if (tokenizer_ != nullptr && !scores_.empty()) one["logprobs"] = scored();
    Json out = base();
    out["choices"] = Json::array({std::move(one)});
    return out;
  }

  Json scored() {
    Json out{{"tokens", Json::array()},
             {"token_logprobs", Json::array()},
             {"top_logprobs", Json::array()},
             {"text_offset", Json::array()}};
    for (const TokenScore& score : std::exchange(scores_, {})) {
      std::string text = token_text(score.token, *tokenizer_);
      out["text_offset"].push_back(offset_);
      offset_ += text.size();
      out["tokens"].push_back(std::move(text));
      out["token_logprobs"].push_back(score.logprob);
      Json top = Json::object();
      for (const TokenLogprob& other : score.top) top[token_text(other.token, *tokenizer_)] = other.logprob;
      out["top_logprobs"].push_back(std::move(top));
    }
    return out;
  }

  const Tokenizer* tokenizer_;
  bool stream_, with_usage_;
  std::string model_, id_ = fresh_name("cmpl-"), text_{};
  std::vector<std::string> stops_;
  std::int64_t created_ =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::size_t offset_ = 0;  // of the next token in the answer, in bytes
  std::vector<TokenScore> scores_{};
};

class OpenAiCompletions final : public OpenAiDialect {
 public:
  void read(const Incoming& incoming, const Catalogue& catalogue, Job& job) const override {
    const Json body = parse_body(incoming.body);
    Fields fields(body, "");
    begin_job(incoming, catalogue, fields, job);
    Request& request = job.request;
    text::read_prompt(fields, request);
    request.max_tokens =
        static_cast<std::uint32_t>(fields.whole("max_tokens", 1, text::most_answer_tokens).value_or(usual_tokens));
    request.sampling = text::read_sampling(fields);
    request.stop = text::read_stop(fields, "stop");
    if (const auto logprobs = fields.whole("logprobs", 0, 20)) {
      need_tokenizer(job, "logprobs");
      request.logprobs = static_cast<std::uint32_t>(*logprobs);
    }
    const StreamOptions options = read_stream_options(fields, job.stream);
    fields.unsupported("n", "one answer a request; ask again for more", 1);
    fields.unsupported("best_of", "one answer a request; ask again for more", 1);
    fields.unsupported("echo", "the prompt is not sent back", false);
    fields.unsupported("suffix", "text is written at the end only", "");
    fields.ignore({"user"});
    fields.refuse_rest();
    job.writer = std::make_unique<TextWriter>(job, options.usage);
  }
  const char* prompt_field() const override { return "prompt"; }
};

}  // namespace

const Dialect& openai_completions() {
  static const OpenAiCompletions dialect;
  return dialect;
}

}  // namespace frugal::server

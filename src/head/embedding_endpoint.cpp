#include <frugal/core/error.hpp>
#include <frugal/head/embedding_endpoint.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <utility>

#include "core/base64.hpp"
#include "core/caught.hpp"
#include "core/guarded.hpp"
#include "head/pass_queue.hpp"
#include "head/states.hpp"

namespace frugal {

namespace {

/// A request: its texts become vectors one by one.
struct Texts : head::PassRequest {
  std::vector<std::string> vectors{};  // base64
  std::size_t left = 0;                // this and the vectors are touched by the thread that makes the pass only
  std::uint64_t tokens = 0, passes = 0;
  std::atomic<bool> ended{false};
  std::mutex mutex{};  // guards `taken`
};

struct Text {
  std::shared_ptr<Texts> whole;
  std::size_t at = 0;
  std::vector<Token> tokens{};
};
using Queue = head::PassQueue<Text>;
using Jobs = Queue::Jobs;

EmbeddingEndpointOptions checked(EmbeddingEndpointOptions o) {
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw Error(Errc::invalid_argument, std::string("EmbeddingEndpointOptions::") + what);
  };
  require(o.model != nullptr, "model is null");
  require(o.backend != nullptr, "backend is null");
  require(o.pool != Pool::both, "pool must be mean or last");
  require(o.max_waiting > 0, "max_waiting is 0");
  require(o.batch_tokens > 0, "batch_tokens is 0");
  return o;
}

/// Of length 1; a vector of zeros stays one.
std::string written(std::vector<float> v) {
  double squares = 0;
  for (const float x : v) squares += double(x) * double(x);
  const double by = squares > 0 ? 1 / std::sqrt(squares) : 1;
  for (float& x : v) x = static_cast<float>(double(x) * by);
  return floats_to_base64(v);
}

}  // namespace

struct EmbeddingEndpoint::Impl {
  Impl(EmbeddingEndpointOptions o, std::shared_ptr<Watchers> watchers)
      : options(checked(std::move(o))),
        log(guarded_log(options.log, options.name + ": ")),
        clock(options.clock),
        states(options.model, options.backend, {.most_tokens = options.most_tokens, .cut = false, .normed = true},
               options.batch_tokens),
        queue(std::move(watchers), options.max_waiting) {}

  expected<Jobs> take_in(RequestId id, Request& request, const std::shared_ptr<GuardedSink>& sink) const;
  expected<std::vector<std::vector<Token>>> texts_of(Request& request) const;
  void run(const Jobs& batch);
  void take(const Text& text, head::Pooled pooled);
  void end(Texts& request, FinishReason reason, const std::optional<Error>& error = std::nullopt) const;

  const EmbeddingEndpointOptions options;
  const LogSink log;
  const GuardedClock clock;
  head::States states;
  Queue queue;
  std::atomic<std::uint64_t> next_id{1};
};

expected<std::vector<std::vector<Token>>> EmbeddingEndpoint::Impl::texts_of(Request& request) const {
  std::vector<std::vector<Token>> out;
  std::optional<Error> wrong;
  const auto add = [&](expected<std::vector<Token>> tokens, std::size_t at) {
    if (tokens)
      out.push_back(std::move(*tokens));
    else if (!wrong)
      wrong = Error(tokens.error().code(), "input " + std::to_string(at) + ": " + tokens.error().message());
  };
  if (auto* tokens = std::get_if<TokenPrompt>(&request.prompt)) {
    add(states.framed(std::move(tokens->tokens)), 0);
  } else if (const auto* raw = std::get_if<RawPrompt>(&request.prompt)) {
    add(states.tokens(raw->text), 0);
  } else {
    const std::vector<Message>& messages = std::get<Chat>(request.prompt).messages;
    for (std::size_t i = 0; i < messages.size() && !wrong; ++i) add(states.tokens(messages[i].content), i);
  }
  if (wrong) return unexpected(*wrong);
  if (out.empty()) return unexpected(Errc::invalid_argument, "there is no text");
  return out;
}

expected<Jobs> EmbeddingEndpoint::Impl::take_in(RequestId id, Request& request,
                                                const std::shared_ptr<GuardedSink>& sink) const {
  if (!request.model.empty() && request.model != options.name)
    return unexpected(Errc::invalid_argument,
                      "this endpoint is \"" + options.name + "\", the request asks for \"" + request.model + "\"");
  if (!request.adapter.empty()) return unexpected(Errc::invalid_argument, "embeddings have no adapters");
  if (request.constraint) return unexpected(Errc::invalid_argument, "embeddings have no constraint");
  try {
    expected<std::vector<std::vector<Token>>> texts = texts_of(request);
    if (!texts) return unexpected(texts.error());
    auto whole = std::make_shared<Texts>();
    whole->sink = sink;
    whole->id = id;
    whole->caller_id = request.id;
    whole->deadline = request.deadline;
    whole->submitted = clock.now();
    whole->left = texts->size();
    whole->vectors.resize(texts->size());
    std::vector<Token> prompt;
    Jobs jobs;
    for (std::vector<Token>& tokens : *texts) {
      prompt.insert(prompt.end(), states.shared().begin(), states.shared().end());
      prompt.insert(prompt.end(), tokens.begin(), tokens.end());
      jobs.push_back(std::make_shared<Text>(Text{whole, jobs.size(), std::move(tokens)}));
    }
    whole->tokens = prompt.size();
    whole->show(prompt);
    return jobs;
  } catch (...) {
    return unexpected(caught_error(Errc::internal, "the request could not be read"));
  }
}

void EmbeddingEndpoint::Impl::end(Texts& request, FinishReason reason, const std::optional<Error>& error) const {
  if (request.ended.exchange(true)) return;
  std::unique_lock lock(request.mutex);
  Finish finish = request.finish(reason, options.name, clock.now());
  lock.unlock();
  finish.error = error;
  Attempt& attempt = finish.ledger.attempts.back();
  if (reason != FinishReason::stop) return request.sink->on_finish(std::move(finish));
  attempt.usage = {.input = request.tokens};
  attempt.tokens->prompt_computed = request.tokens;
  attempt.tokens->passes = request.passes;
  attempt.tokens->rows = request.tokens;
  finish.usage = attempt.usage;
  finish.timing.ttft = finish.timing.e2e;
  Delta delta;
  for (const std::string& vector : request.vectors) delta.text += vector + "\n";
  request.answer(std::move(delta), std::move(finish));
}

void EmbeddingEndpoint::Impl::run(const Jobs& batch) {
  const TimePoint now = clock.now();
  std::vector<const std::vector<Token>*> texts;
  Jobs live;
  for (const std::shared_ptr<Text>& text : batch) {
    Texts& request = *text->whole;
    {
      const std::lock_guard lock(request.mutex);
      if (request.taken == TimePoint{}) request.taken = now;
    }
    if (const std::optional<FinishReason> over = request.over(now)) end(request, *over);
    if (request.ended.load()) continue;
    live.push_back(text);
    texts.push_back(&text->tokens);
  }
  if (live.empty()) return;
  try {
    std::vector<head::Pooled> pooled = states.pass(texts, options.model->spec().layers);
    for (std::size_t i = 0; i < live.size(); ++i) take(*live[i], std::move(pooled[i]));
  } catch (...) {
    const Error error = caught_error(Errc::internal, "the pass for embeddings");
    if (log) log(LogLevel::error, 0, error.message());
    for (const std::shared_ptr<Text>& text : live) end(*text->whole, FinishReason::error, error);
  }
}

void EmbeddingEndpoint::Impl::take(const Text& text, head::Pooled pooled) {
  Texts& request = *text.whole;
  request.vectors[text.at] = written(std::move(options.pool == Pool::last ? pooled.last : pooled.mean));
  ++request.passes;
  if (--request.left == 0) end(request, FinishReason::stop);
}

EmbeddingEndpoint::EmbeddingEndpoint(EmbeddingEndpointOptions options)
    : impl_(std::make_unique<Impl>(std::move(options), watchers().shared_from_this())) {}

EmbeddingEndpoint::~EmbeddingEndpoint() {
  for (const std::shared_ptr<Text>& text : impl_->queue.close()) impl_->end(*text->whole, FinishReason::cancelled);
  retire();
}

std::string_view EmbeddingEndpoint::name() const { return impl_->options.name; }

Call EmbeddingEndpoint::start(Request request, std::shared_ptr<Sink> sink) {
  Impl& impl = *impl_;
  const RequestId id{impl.next_id.fetch_add(1)};
  auto guarded = std::make_shared<GuardedSink>(std::move(sink), &impl.log, id);
  const expected<Jobs> made = impl.take_in(id, request, guarded);
  const expected<void> queued = made ? impl.queue.enqueue(*made) : unexpected(made.error());
  if (!queued) return head::refuse(*guarded, queued.error(), request, id, impl.options.name);
  return head::call_of(made->front()->whole, *this);
}

Progress EmbeddingEndpoint::step() {
  Impl& impl = *impl_;
  return impl.queue.step([&](const auto& waiting) { return head::fitting(impl.states, waiting); },
                         [&](const Jobs& batch) { impl.run(batch); }, impl.log);
}

Load EmbeddingEndpoint::load() const { return impl_->queue.load(); }

std::vector<std::string> EmbeddingEndpoint::may_answer(std::string_view model) const {
  if (model.empty() || model == impl_->options.name) return {impl_->options.name};
  return {};
}

expected<std::vector<std::vector<float>>> embeddings_of(std::string_view answer) {
  std::vector<std::vector<float>> out;
  while (!answer.empty()) {
    const std::size_t end = std::min(answer.find('\n'), answer.size());
    std::optional<std::vector<float>> vector = floats_from_base64(answer.substr(0, end));
    if (!vector) return unexpected(Errc::invalid_argument, "this is no vector of an EmbeddingEndpoint");
    out.push_back(std::move(*vector));
    answer.remove_prefix(std::min(answer.size(), end + 1));
  }
  return out;
}

}  // namespace frugal

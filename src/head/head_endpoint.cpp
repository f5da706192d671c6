#include <frugal/core/error.hpp>
#include <frugal/head/head_endpoint.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/caught.hpp"
#include "core/guarded.hpp"
#include "endpoint/prompt_text.hpp"
#include "head/labels.hpp"
#include "head/pass_queue.hpp"
#include "head/states.hpp"
#include "model/hash.hpp"

namespace frugal {

namespace {

struct Job : head::PassRequest {
  std::vector<Token> tokens{};  // without the frame's beginning
  std::string text{};           // where the head reads words
  std::vector<bool> allowed{};  // by a constraint; empty = all labels
  bool scores = false;
};
using Queue = head::PassQueue<Job>;
using Jobs = Queue::Jobs;

HeadEndpointOptions checked(HeadEndpointOptions o) {
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw Error(Errc::invalid_argument, std::string("HeadEndpointOptions::") + what);
  };
  require(o.head != nullptr, "head is null");
  require(o.model != nullptr, "model is null");
  require(o.backend != nullptr, "backend is null");
  require(o.max_waiting > 0, "max_waiting is 0");
  require(o.batch_tokens > 0, "batch_tokens is 0");
  o.head->check_model(*o.model);
  return o;
}

std::uint64_t vocabulary_of(const Head& head) {
  model::Hash hash;
  for (const std::string& label : head.labels()) hash.add(std::string_view(label));
  return hash.add(std::string_view("labels")).value();
}

// Whether the constraint lets this label through as a whole answer.
bool allows(Constraint& constraint, const Tokenizer& tokenizer, const std::string& label) {
  std::size_t taken = 0;
  bool all = true;
  for (const Token t : tokenizer.encode(label, {.parse_special = false, .add_bos = false, .continues = true})) {
    all = constraint.advance(t);
    if (!all) break;
    ++taken;
  }
  const bool whole = all && constraint.state() != ConstraintState::open;
  constraint.rollback(taken);
  return whole;
}

expected<std::vector<bool>> allowed_labels(const Request& request, const Head& head, const Model& model) {
  std::vector<bool> out;
  if (!request.constraint) return out;
  expected<std::unique_ptr<Constraint>> opened = request.constraint->open(*model.tokenizer());
  if (!opened) return unexpected(opened.error());
  for (const std::string& label : head.labels()) out.push_back(allows(**opened, *model.tokenizer(), label));
  if (std::find(out.begin(), out.end(), true) == out.end())
    return unexpected(Errc::invalid_argument, "the constraint allows none of the head's labels");
  return out;
}

}  // namespace

struct HeadEndpoint::Impl {
  Impl(HeadEndpointOptions o, std::shared_ptr<Watchers> w)
      : options(checked(std::move(o))),
        log(guarded_log(options.log, options.name + ": ")),
        clock(options.clock),
        vocabulary(vocabulary_of(*options.head)),
        states(options.model, options.backend, head::frame_of(options.head->parts()), options.batch_tokens),
        queue(std::move(w), options.max_waiting) {}

  expected<std::shared_ptr<Job>> take_in(RequestId id, Request& request, std::shared_ptr<GuardedSink> sink) const;
  void run(const Jobs& batch);
  void answer(Job& job, const std::vector<float>& inputs, std::uint64_t rows) const;
  Finish finish(const Job& job, FinishReason reason) const;

  const HeadEndpointOptions options;
  const LogSink log;
  const GuardedClock clock;
  const std::uint64_t vocabulary;
  head::States states;
  Queue queue;
  std::atomic<std::uint64_t> next_id{1};
};

expected<std::shared_ptr<Job>> HeadEndpoint::Impl::take_in(RequestId id, Request& request,
                                                           std::shared_ptr<GuardedSink> sink) const {
  const auto refuse = [](const char* what) { return unexpected(Errc::invalid_argument, what); };
  if (!request.model.empty() && request.model != options.name)
    return unexpected(Errc::invalid_argument, "this endpoint is the head \"" + options.name +
                                                  "\", the request asks for \"" + request.model + "\"");
  if (std::holds_alternative<TokenPrompt>(request.prompt)) return refuse("a head reads text, not a prompt of tokens");
  if (!request.adapter.empty()) return refuse("a head has no adapters");
  try {
    expected<std::vector<Token>> tokens = states.tokens(prompt_text(request));
    if (!tokens) return unexpected(tokens.error());
    expected<std::vector<bool>> allowed = allowed_labels(request, *options.head, *options.model);
    if (!allowed) return unexpected(allowed.error());
    auto job = std::make_shared<Job>();
    job->id = id;
    job->caller_id = request.id;
    job->tokens = std::move(*tokens);
    if (options.head->parts().word_buckets != 0) job->text = prompt_text(request);
    job->allowed = std::move(*allowed);
    job->scores = request.scores || request.logprobs;
    job->deadline = request.deadline;
    job->submitted = clock.now();
    job->sink = std::move(sink);
    std::vector<Token> prompt(states.shared().begin(), states.shared().end());
    prompt.insert(prompt.end(), job->tokens.begin(), job->tokens.end());
    job->show(prompt);
    return job;
  } catch (...) {
    return unexpected(caught_error(Errc::internal, "the request could not be read"));
  }
}

Finish HeadEndpoint::Impl::finish(const Job& job, FinishReason reason) const {
  Finish end = job.finish(reason, options.name, clock.now());
  end.vocabulary = vocabulary;
  return end;
}

void HeadEndpoint::Impl::answer(Job& job, const std::vector<float>& inputs, std::uint64_t rows) const {
  std::vector<double> p = options.head->probabilities(inputs, job.text);
  double total = 0;
  for (std::size_t l = 0; l < p.size(); ++l) total += p[l] *= job.allowed.empty() || job.allowed[l] ? 1 : 0;
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
  const auto share = [&](std::size_t place) { return total > 0 ? p[order[place]] / total : 0.0; };
  Delta delta{options.head->labels()[order[0]], {static_cast<Token>(order[0])}, {}};
  if (job.scores) {
    TokenScore score;
    score.token = static_cast<Token>(order[0]);
    score.logprob = static_cast<float>(std::log(share(0)));
    score.margin = static_cast<float>(share(0) - share(1));
    for (std::size_t i = 0; i < order.size(); ++i)
      score.top.push_back({static_cast<Token>(order[i]), static_cast<float>(std::log(share(i)))});
    delta.scores.push_back(std::move(score));
  }
  Finish end = finish(job, FinishReason::stop);
  Attempt& attempt = end.ledger.attempts.back();
  const std::uint64_t input = states.shared().size() + job.tokens.size();
  attempt.usage = {.input = input, .cached_read = input - rows, .output = 1};
  attempt.tokens->prompt_computed = rows;
  attempt.tokens->prompt_cached = input - rows;
  attempt.tokens->decoded = 1;
  attempt.tokens->passes = 1;
  attempt.tokens->rows = rows;
  end.usage = attempt.usage;
  end.timing.ttft = end.timing.e2e;
  job.answer(std::move(delta), std::move(end));
}

void HeadEndpoint::Impl::run(const Jobs& batch) {
  const TimePoint now = clock.now();
  Jobs live;
  std::vector<const std::vector<Token>*> texts;
  for (const std::shared_ptr<Job>& job : batch) {
    job->taken = now;
    if (const std::optional<FinishReason> over = job->over(now)) {
      job->sink->on_finish(finish(*job, *over));
    } else {
      live.push_back(job);
      texts.push_back(&job->tokens);
    }
  }
  if (live.empty()) return;
  std::vector<head::Pooled> pooled;
  std::optional<Error> failed;
  try {
    pooled = states.pass(texts, options.head->parts().layers, options.head->parts().pool);
  } catch (...) {
    failed = caught_error(Errc::internal, "the head's pass");
    if (log) log(LogLevel::error, 0, failed->message());
  }
  const std::uint64_t again = states.shared().size() - states.cached();
  for (std::size_t i = 0; i < live.size(); ++i) {
    if (failed) {
      Finish end = finish(*live[i], FinishReason::error);
      end.error = failed;
      live[i]->sink->on_finish(std::move(end));
      continue;
    }
    answer(*live[i], head::inputs_of(std::move(pooled[i].mean), pooled[i].last, options.head->parts().pool),
           again + live[i]->tokens.size());
  }
}

HeadEndpoint::HeadEndpoint(HeadEndpointOptions options)
    : impl_(std::make_unique<Impl>(std::move(options), watchers().shared_from_this())) {}

HeadEndpoint::~HeadEndpoint() {
  for (const std::shared_ptr<Job>& job : impl_->queue.close()) {
    Finish end = impl_->finish(*job, FinishReason::cancelled);
    end.detail = "the head's endpoint was destroyed";
    job->sink->on_finish(std::move(end));
  }
  retire();
}

std::string_view HeadEndpoint::name() const { return impl_->options.name; }

Call HeadEndpoint::start(Request request, std::shared_ptr<Sink> sink) {
  Impl& impl = *impl_;
  const RequestId id{impl.next_id.fetch_add(1)};
  auto guarded = std::make_shared<GuardedSink>(std::move(sink), &impl.log, id);
  expected<std::shared_ptr<Job>> made = impl.take_in(id, request, guarded);
  const expected<void> queued = made ? impl.queue.enqueue({*made}) : unexpected(made.error());
  if (!queued) return head::refuse(*guarded, queued.error(), request, id, impl.options.name);
  return head::call_of(*made, *this);
}

Progress HeadEndpoint::step() {
  Impl& impl = *impl_;
  return impl.queue.step([&](const auto& waiting) { return head::fitting(impl.states, waiting); },
                         [&](const Jobs& batch) { impl.run(batch); }, impl.log);
}

Load HeadEndpoint::load() const { return impl_->queue.load(); }

std::vector<std::string> HeadEndpoint::may_answer(std::string_view model) const {
  if (model.empty() || model == impl_->options.name) return {impl_->options.name};
  return {};
}

}  // namespace frugal

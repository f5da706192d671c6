#include <frugal/core/error.hpp>
#include <frugal/head/head_endpoint.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <mutex>
#include <numeric>
#include <utility>

#include "core/caught.hpp"
#include "core/guarded.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/prompt_text.hpp"
#include "endpoint/refusal.hpp"
#include "endpoint/step_scope.hpp"
#include "head/labels.hpp"
#include "head/states.hpp"
#include "model/hash.hpp"

namespace frugal {

namespace {

struct Job {
  std::shared_ptr<GuardedSink> sink;
  RequestId id{};
  std::string caller_id{};
  std::vector<Token> tokens{};  // without the frame's beginning
  std::vector<bool> allowed{};  // by a constraint; empty = all labels
  bool scores = false;
  std::optional<TimePoint> deadline{};
  TimePoint submitted{}, taken{};
  std::atomic<bool> cancelled{false};
};
using Jobs = std::vector<std::shared_ptr<Job>>;

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
        states(options.model, options.backend,
               {options.head->parts().before, options.head->parts().after, options.head->parts().most_tokens},
               options.batch_tokens),
        watchers(std::move(w)) {}

  expected<std::shared_ptr<Job>> take_in(RequestId id, Request& request, std::shared_ptr<GuardedSink> sink) const;
  expected<void> enqueue(const std::shared_ptr<Job>& job);
  std::optional<Progress> take_wheel(Jobs& batch);
  void release_wheel();
  void run(const Jobs& batch);
  void answer(const Job& job, const std::vector<float>& inputs, std::uint64_t rows) const;
  Finish finish(const Job& job, FinishReason reason) const;
  Jobs close();

  const HeadEndpointOptions options;
  const LogSink log;
  const GuardedClock clock;
  const std::uint64_t vocabulary;
  head::States states;
  const std::shared_ptr<Watchers> watchers;
  std::atomic<std::uint64_t> next_id{1};

  std::mutex mutex;  // guards the rest
  std::deque<std::shared_ptr<Job>> waiting{};
  std::size_t running = 0;
  bool driving = false, closed = false;
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
    job->allowed = std::move(*allowed);
    job->scores = request.scores || request.logprobs;
    job->deadline = request.deadline;
    job->submitted = clock.now();
    job->sink = std::move(sink);
    std::vector<Token> prompt(states.shared().begin(), states.shared().end());
    prompt.insert(prompt.end(), job->tokens.begin(), job->tokens.end());
    try {
      job->sink->on_prompt(prompt);
    } catch (const Error&) {  // the sink declines
      throw;
    } catch (...) {
      job->cancelled.store(true);
    }
    return job;
  } catch (...) {
    return unexpected(caught_error(Errc::internal, "the request could not be read"));
  }
}

expected<void> HeadEndpoint::Impl::enqueue(const std::shared_ptr<Job>& job) {
  const std::lock_guard lock(mutex);
  if (closed) return unexpected(Errc::unavailable, "the head's endpoint is being destroyed");
  if (waiting.size() >= options.max_waiting)
    return unexpected(Errc::busy, "the queue is full (HeadEndpointOptions::max_waiting)");
  waiting.push_back(job);
  return {};
}

// Takes the jobs of one pass. None = they are the caller's; else why there is nothing to do.
std::optional<Progress> HeadEndpoint::Impl::take_wheel(Jobs& batch) {
  const std::lock_guard lock(mutex);
  if (driving) return Progress::elsewhere;
  if (waiting.empty()) return Progress::idle;
  std::vector<const std::vector<Token>*> texts;
  for (std::size_t i = 0; i < std::min(waiting.size(), head::States::most_texts); ++i)
    texts.push_back(&waiting[i]->tokens);
  for (std::size_t n = states.fitting(texts); n > 0; --n) {
    batch.push_back(std::move(waiting.front()));
    waiting.pop_front();
  }
  driving = true;
  running = batch.size();
  watchers->answered();
  return std::nullopt;
}

void HeadEndpoint::Impl::release_wheel() {
  bool more = false;
  {
    const std::lock_guard lock(mutex);
    driving = false;
    running = 0;
    more = !waiting.empty();
  }
  watchers->step_ended();
  if (more) watchers->call_one();
}

Finish HeadEndpoint::Impl::finish(const Job& job, FinishReason reason) const {
  Finish end;
  end.reason = reason;
  end.model = options.name;
  end.vocabulary = vocabulary;
  end.request = job.id;
  end.id = job.caller_id;
  const TimePoint now = clock.now();
  end.timing.e2e = now - job.submitted;
  end.timing.queue = job.taken == TimePoint{} ? end.timing.e2e : job.taken - job.submitted;
  end.timing.in_one_piece = true;
  end.ledger.attempts.push_back({.endpoint = options.name, .model = options.name, .tokens = TokenLedger{}});
  return end;
}

void HeadEndpoint::Impl::answer(const Job& job, const std::vector<float>& inputs, std::uint64_t rows) const {
  std::vector<double> p = options.head->probabilities(inputs);
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
  try {
    job.sink->on_delta(std::move(delta));
  } catch (...) {  // a reader that throws has given up
    end.reason = FinishReason::cancelled;
  }
  job.sink->on_finish(std::move(end));
}

void HeadEndpoint::Impl::run(const Jobs& batch) {
  const TimePoint now = clock.now();
  Jobs live;
  std::vector<const std::vector<Token>*> texts;
  for (const std::shared_ptr<Job>& job : batch) {
    job->taken = now;
    if (job->cancelled.load()) {
      job->sink->on_finish(finish(*job, FinishReason::cancelled));
    } else if (job->deadline && now >= *job->deadline) {
      job->sink->on_finish(finish(*job, FinishReason::deadline));
    } else {
      live.push_back(job);
      texts.push_back(&job->tokens);
    }
  }
  if (live.empty()) return;
  std::vector<head::Pooled> pooled;
  std::optional<Error> failed;
  try {
    pooled = states.pass(texts, options.head->parts().layers);
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

Jobs HeadEndpoint::Impl::close() {
  const std::lock_guard lock(mutex);
  closed = true;
  return {std::make_move_iterator(waiting.begin()), std::make_move_iterator(waiting.end())};
}

HeadEndpoint::HeadEndpoint(HeadEndpointOptions options)
    : impl_(std::make_unique<Impl>(std::move(options), watchers().shared_from_this())) {}

HeadEndpoint::~HeadEndpoint() {
  for (const std::shared_ptr<Job>& job : impl_->close()) {
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
  const expected<void> queued = made ? impl.enqueue(*made) : unexpected(made.error());
  if (!queued) {
    Finish end = refusal(queued.error(), request.model);
    end.ledger.attempts.push_back({.endpoint = impl.options.name, .model = impl.options.name, .tokens = TokenLedger{}});
    end.request = id;
    end.id = std::move(request.id);
    guarded->on_finish(std::move(end));
    return Call({}, id);
  }
  watchers().call_one();
  return Call(
      [weak = std::weak_ptr<Job>(*made), endpoint = EndpointRef(*this)] {
        const auto job = weak.lock();
        if (!job || job->cancelled.exchange(true)) return;
        if (const EndpointRef::Visit visit = endpoint.enter()) visit->wake();
      },
      id);
}

Progress HeadEndpoint::step() {
  Impl& impl = *impl_;
  Jobs batch;
  if (const std::optional<Progress> busy = impl.take_wheel(batch)) return *busy;
  std::list<std::function<void()>> errands;
  {
    const Working working(watchers());
    StepScope scope;
    impl.run(batch);
    errands.swap(scope.errands);
  }
  impl.release_wheel();
  for (const std::function<void()>& errand : errands) {  // escalations: outside the step
    try {
      errand();
    } catch (...) {
      if (impl.log) impl.log(LogLevel::error, 0, "work after a step failed: " + caught_text());
    }
  }
  return Progress::worked;
}

Load HeadEndpoint::load() const {
  const std::lock_guard lock(impl_->mutex);
  return {.running = static_cast<std::uint32_t>(impl_->running),
          .waiting = static_cast<std::uint32_t>(impl_->waiting.size()),
          .accepting = !impl_->closed};
}

std::vector<std::string> HeadEndpoint::may_answer(std::string_view model) const {
  if (model.empty() || model == impl_->options.name) return {impl_->options.name};
  return {};
}

}  // namespace frugal

#include "endpoint/cascade_request.hpp"

#include <algorithm>
#include <utility>

#include "core/caught.hpp"
#include "endpoint/prompt_text.hpp"
#include "endpoint/refusal.hpp"
#include "endpoint/step_scope.hpp"

namespace frugal {

/// Events of an attempt that is over, or of a tier that ends twice, go no further.
struct CascadeRequest::Try final : Sink {
  Try(std::shared_ptr<CascadeRequest> r, std::size_t n) : request(std::move(r)), number(n) {}
  void on_prompt(std::span<const Token> tokens) override { request->prompt(number, tokens); }
  void on_delta(Delta delta) override { request->piece(number, std::move(delta)); }
  void on_finish(Finish finish) override { request->finished(number, std::move(finish)); }
  bool full() const override { return request->passing_on_ && request->out_->full(); }
  const std::shared_ptr<CascadeRequest> request;
  const std::size_t number;
};

CascadeRequest::CascadeRequest(std::shared_ptr<Cascade::Shared> cascade, RequestId id, Request request,
                               std::shared_ptr<Sink> out)
    : cascade_(std::move(cascade)),
      id_(id),
      request_(std::move(request)),
      model_(request_.model),
      out_(std::make_shared<GuardedSink>(std::move(out), &cascade_->log, id)),
      asked_for_scores_(request_.scores || request_.logprobs),
      revises_(cascade_->streaming == CascadeStreaming::revise && request_.allow_revisions),
      submitted_(cascade_->clock.now()) {
  request_.scores = true;  // the policy judges by them
}

RequestView CascadeRequest::view() const {
  RequestView view;
  view.id = id_;
  view.type = request_.type;
  view.tenant = request_.tenant;
  view.model = model_;
  view.text = prompt_text(request_);
  if (const auto* given = std::get_if<TokenPrompt>(&request_.prompt)) view.prompt = given->tokens;
  view.max_tokens = request_.max_tokens;
  view.deadline = request_.deadline;
  view.now = cascade_->clock.now();
  view.request_id = request_.id, view.conversation = conversation_of(request_);
  return view;
}

AttemptView CascadeRequest::attempt(const RequestView& view, std::optional<FinishReason> finish) const {
  return {view, tier_, tiers(), tries_.size(), answer_.text, answer_.scores, finish};
}

// Inside a catch block.
Error CascadeRequest::policy_error() const {
  return caught_error(Errc::policy, "cascade policy " + std::string(cascade_->policy->name()));
}

bool CascadeRequest::is_current(std::size_t number) {
  const std::lock_guard lock(mutex_);
  return !state_.over && !state_.ended && state_.number == number;
}

// The tier that a request names: by the tier's name, else by that of a model it serves.
std::optional<std::size_t> CascadeRequest::named_tier() {
  for (std::size_t i = 0; i < tiers(); ++i)
    if (cascade_->tiers[i].name == model_) {
      request_.model.clear();
      return i;
    }
  for (std::size_t i = 0; i < tiers(); ++i) {
    const EndpointRef::Visit visit = cascade_->tiers[i].endpoint.enter();
    if (visit && !visit->may_answer(model_).empty()) return i;
  }
  return std::nullopt;
}

expected<std::size_t> CascadeRequest::first_tier() {
  if (model_.empty() || model_ == cascade_->name) {
    request_.model.clear();
    const std::lock_guard lock(cascade_->asking);
    return std::min(cascade_->policy->first(view(), tiers()), tiers() - 1);
  }
  if (const std::optional<std::size_t> named = named_tier()) return *named;
  std::string known = cascade_->name;
  for (const Members::Member& tier : cascade_->tiers) known += ", " + tier.name;
  return unexpected(Errc::invalid_argument,
                    "no tier or model of the cascade is named \"" + model_ + "\" (tiers: " + known + ")");
}

void CascadeRequest::start() {
  try {
    {
      const std::lock_guard lock(cascade_->asking);
      watches_ = cascade_->policy->judges_running();
    }
    const expected<std::size_t> first = first_tier();
    if (!first) return give(refusal(first.error(), model_), std::nullopt);
    begin(*first);
  } catch (...) {
    give({.reason = FinishReason::error, .error = policy_error()}, std::nullopt);
  }
}

void CascadeRequest::begin(std::size_t tier) {
  tier_ = tier;
  answer_ = {};
  passing_on_ = revises_ || (cascade_->streaming != CascadeStreaming::buffer && is_last());
  began_ = cascade_->clock.now();
  std::size_t number = 0;
  bool cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    if (state_.over) return;
    number = ++state_.number;
    state_.ended = false;
    state_.abandoned.reset();
    state_.current = {};
    cancelled = state_.cancelled;
  }
  if (cancelled) return finished(number, {.reason = FinishReason::cancelled});
  Request again = request_;
  again.allow_revisions = false;  // what a tier says stays said
  request_.model.clear();         // only the first tier was asked for by name
  Call call = cascade_->tiers[tier].endpoint.start(std::move(again), std::make_shared<Try>(shared_from_this(), number));
  bool stop = false;
  {
    const std::lock_guard lock(mutex_);
    if (state_.over || state_.ended || state_.number != number) return;  // it has ended already
    state_.current = call;
    stop = state_.cancelled || state_.abandoned || state_.failed;
  }
  if (stop) call.cancel();
}

// A tier may end the request inside cancel(), so that is called without the lock.
void CascadeRequest::cancel() {
  Call running;
  {
    const std::lock_guard lock(mutex_);
    state_.cancelled = true;
    running = state_.current;
  }
  running.cancel();
}

void CascadeRequest::disown() {
  Call running;
  {
    const std::lock_guard lock(mutex_);
    if (state_.over) return;
    running = state_.current;
  }
  give({.reason = FinishReason::cancelled, .detail = "the cascade was destroyed"}, std::nullopt);
  running.cancel();
}

void CascadeRequest::prompt(std::size_t number, std::span<const Token> tokens) {
  const std::lock_guard telling(telling_);
  if (is_current(number)) out_->on_prompt(tokens);
}

void CascadeRequest::piece(std::size_t number, Delta delta) {
  if (!is_current(number)) return;
  if (passing_on_) {
    answer_.add(delta);
    pass_on(number, std::move(delta));
    if (revises_ && watches_ && !committed_ && !is_last()) watch_running(number);
    return;
  }
  answer_.add(std::move(delta));
  if (watches_ && !is_last()) watch_running(number);
}

// The caller's sink may throw: the tier then gives the answer up.
void CascadeRequest::pass_on(std::size_t number, Delta delta) {
  if (!asked_for_scores_) delta.scores.clear();
  if (delta.empty()) return;
  const std::lock_guard telling(telling_);
  if (!is_current(number)) return;
  if (const std::size_t place = tries_.size(); shown_ != place) {
    delta.revises = shown_.has_value();
    shown_ = place, passed_ = 0;
  }
  if (passed_++ == 0) {
    first_seen_ = cascade_->clock.now();
    first_tokens_ = std::max<std::uint64_t>(1, delta.tokens.size());
  }
  out_->on_delta(std::move(delta));
}

void CascadeRequest::watch_running(std::size_t number) {
  {
    const std::lock_guard lock(mutex_);
    if (state_.abandoned || state_.failed || state_.cancelled) return;
  }
  Verdict verdict;
  std::optional<Error> failed;
  try {
    const RequestView request = view();
    const std::lock_guard lock(cascade_->asking);
    verdict = cascade_->policy->judge_running(attempt(request, std::nullopt));
  } catch (...) {
    failed = policy_error();
  }
  if (!failed && verdict.commit && !verdict.next && cascade_->streaming != CascadeStreaming::buffer) {
    committed_ = verdict;
    if (!passing_on_.exchange(true))
      pass_on(number, {answer_.text, answer_.tokens, answer_.scores, false, answer_.reasoning});
    return;
  }
  if (!failed && (!verdict.next || *verdict.next == tier_)) return;
  Call running;
  {
    const std::lock_guard lock(mutex_);
    state_.failed = failed;
    if (!failed) state_.abandoned = verdict;
    running = state_.current;
  }
  running.cancel();
}

void CascadeRequest::finished(std::size_t number, Finish end) {
  State at;
  {
    const std::lock_guard lock(mutex_);
    if (state_.over || state_.ended || state_.number != number) return;
    state_.ended = true;
    state_.current = {};  // a tier's call may hold its sink, which holds this
    at = state_;
  }
  try {
    conclude(std::move(end), at);
  } catch (...) {
    give({.reason = FinishReason::error, .error = caught_error(Errc::internal, "cascade " + cascade_->name)},
         std::nullopt);
  }
}

namespace {

bool is_whole(FinishReason reason) {
  return reason == FinishReason::stop || reason == FinishReason::length || reason == FinishReason::capped;
}

}  // namespace

void CascadeRequest::conclude(Finish end, const State& at) {
  Verdict verdict;
  std::optional<Error> failed = at.failed;
  const bool abandoned = at.abandoned && !at.cancelled && end.reason != FinishReason::deadline;
  const bool given_up = !abandoned && (end.reason == FinishReason::cancelled || end.reason == FinishReason::deadline);
  if (abandoned) {
    verdict = *at.abandoned;
  } else if (committed_) {
    verdict.score = committed_->score;
  } else if (!given_up && !failed) {
    try {
      const RequestView request = view();
      const std::lock_guard lock(cascade_->asking);
      verdict = cascade_->policy->judge(attempt(request, end.reason));
    } catch (...) {
      failed = policy_error();
    }
  }
  record(end, verdict.score);
  if (failed) {
    end.reason = FinishReason::error;
    end.error = std::move(failed);
    return give(std::move(end), tries_.size() - 1);
  }
  const bool last = committed_ || tier_ + 1 == tiers() || tries_.size() >= tiers();  // no policy can go in circles
  if (given_up || last || !verdict.next || *verdict.next == tier_) return settle(std::move(end));
  if (is_whole(end.reason) && !answer_.text.empty()) kept_ = tries_.size() - 1;
  hand_over(end);
  const std::size_t next = std::min(*verdict.next, tiers() - 1);
  // The next tier reads the prompt: outside the step of the one that has just ended.
  after_step([self = shared_from_this(), next] { self->begin(next); });
}

// Every attempt is paid for; a tier that is a composite itself brings several.
void CascadeRequest::record(const Finish& end, std::optional<double> score) {
  Ended ended{.tier = tier_, .score = score, .took = cascade_->clock.now() - began_};
  ended.answer = answer_;
  if (!asked_for_scores_) ended.answer.scores.clear();
  ended.answer.finish = end;
  ended.answer.finish.ledger = {};
  const std::string& place = cascade_->tiers[tier_].name;
  const std::lock_guard lock(mutex_);
  queued_ += end.timing.queue;
  ended.from = ledger_.attempts.size();
  for (Attempt a : end.ledger.attempts) {
    a.endpoint = end.ledger.attempts.size() == 1 ? place : place + "/" + a.endpoint;
    a.score = score;
    ledger_.attempts.push_back(std::move(a));
  }
  ended.to = ledger_.attempts.size();
  tries_.push_back(std::move(ended));
}

// The next tier starts from what was already written: it verifies the answer instead of writing it again, by tokens
// where both share a vocabulary, else by text.
void CascadeRequest::hand_over(const Finish& end) {
  if (answer_.text.empty() && (answer_.tokens.empty() || end.vocabulary == 0)) return;
  request_.draft = {std::move(answer_.text), {}, end.vocabulary};
  if (end.vocabulary != 0) request_.draft.tokens = std::move(answer_.tokens);
}

// No further tier will be asked. What was paid for is given where nothing better came.
void CascadeRequest::settle(Finish end) {
  const bool better = is_whole(end.reason) && !answer_.text.empty();
  if (!better && (passed_ == 0 || revises_) && end.reason != FinishReason::cancelled && give_kept(end)) return;
  const bool began = std::any_of(tries_.begin(), tries_.end(),
                                 [](const Ended& t) { return t.answer.finish.reason != FinishReason::refused; });
  if (end.reason == FinishReason::refused && began) end.reason = FinishReason::error;
  give(std::move(end), tries_.size() - 1);
}

bool CascadeRequest::give_kept(const Finish& end) {
  if (!kept_) return false;
  const Ended& kept = tries_[*kept_];
  std::string what = " gave an empty answer";
  if (end.reason == FinishReason::refused) what = " was refused";
  if (end.reason == FinishReason::error) what = " failed";
  if (end.reason == FinishReason::deadline) what = " ran out of time";
  if (end.error) what += ": " + end.error->message();
  Finish given = kept.answer.finish;
  if (!given.detail.empty()) given.detail += "; ";
  given.detail += "answer of " + cascade_->tiers[kept.tier].name + ", since the escalation to " +
                  cascade_->tiers[tier_].name + what;
  if (end.reason == FinishReason::deadline) given.reason = FinishReason::deadline;
  give(std::move(given), kept_);
  return true;
}

// The caller sees one answer, with the time it waited and the bill of all tries. `given` is whose answer it is.
void CascadeRequest::give(Finish end, std::optional<std::size_t> given) {
  bool cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(state_.over, true)) return;
    state_.current = {};
    cancelled = state_.cancelled;
    end.ledger = ledger_;
    end.timing = {.queue = queued_, .e2e = cascade_->clock.now() - submitted_, .in_one_piece = true};
  }
  const bool has_try = given && *given < tries_.size();
  for (std::size_t i = 0; i < end.ledger.attempts.size(); ++i) {
    const bool of_given = has_try && i >= tries_[*given].from && i < tries_[*given].to;
    end.ledger.attempts[i].accepted = end.ledger.attempts[i].accepted && of_given;
  }
  end.usage = end.ledger.usage();
  end.request = id_;
  end.id = request_.id;
  if (has_try && !cancelled) tell(end, given);
  {
    const std::lock_guard telling(telling_);
    if (has_try) {
      Answer& answer = tries_[*given].answer;
      const bool shown = shown_ == given;
      const bool any =
          !shown && (!answer.tokens.empty() || !answer.text.empty() || !answer.reasoning.empty() || shown_);
      if (any) end.timing.ttft = end.timing.e2e;
      if (shown) {
        end.timing.ttft = first_seen_ - submitted_;
        end.timing.in_one_piece = passed_ == 1;
        end.timing.first_tokens = first_tokens_;
      }
      try {
        if (any)
          out_->on_delta({std::move(answer.text), std::move(answer.tokens), std::move(answer.scores),
                          shown_.has_value(), std::move(answer.reasoning)});
      } catch (...) {  // a reader that throws has given up
        end.reason = FinishReason::cancelled;
        end.error.reset();
      }
    }
    out_->on_finish(std::move(end));
  }
  const std::lock_guard lock(cascade_->mutex);
  cascade_->live.erase(shared_from_this());
}

void CascadeRequest::tell(const Finish& end, std::optional<std::size_t> given) {
  try {
    const RequestView request = view();
    std::vector<TryOutcome> tries;
    for (const Ended& t : tries_)
      tries.push_back({t.tier, t.answer.text, t.score, t.answer.finish.reason, t.answer.finish.usage, t.took});
    const std::lock_guard lock(cascade_->asking);
    cascade_->policy->learn({request, tiers(), tries, given, end.reason});
  } catch (...) {
    if (cascade_->log) cascade_->log(LogLevel::warning, id_.value, policy_error().message());
  }
}

}  // namespace frugal

#include "autopilot/pilot.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <utility>

#include "calibrate/features.hpp"
#include "core/caught.hpp"
#include "endpoint/prompt_text.hpp"

namespace frugal {

namespace {

using Shared = Autopilot::Shared;

bool is_whole(FinishReason reason) {
  return reason == FinishReason::stop || reason == FinishReason::length || reason == FinishReason::capped;
}

bool is_on(PilotStage stage) { return stage == PilotStage::on || stage == PilotStage::tightened; }

class PilotPolicy final : public CascadePolicy {
 public:
  explicit PilotPolicy(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  std::string_view name() const override { return "autopilot"; }

  std::size_t first(const RequestView& request, std::size_t endpoints) override {
    const std::shared_ptr<CascadePolicy> policy = now();
    return policy && !shared_->is_control(request.id) ? policy->first(request, endpoints) : shared_->last();
  }
  Verdict judge(const AttemptView& attempt) override {
    if (attempt.endpoint >= shared_->last()) return {};
    if (const std::shared_ptr<CascadePolicy> policy = now()) return policy->judge(attempt);
    return {.next = shared_->last()};  // turned off while it ran: nothing vouches for it any more
  }

 private:
  // Of the stage; null = the last tier answers.
  std::shared_ptr<CascadePolicy> now() const {
    const std::lock_guard lock(shared_->mutex);
    switch (shared_->stage.load()) {
      case PilotStage::on:
        return shared_->open;
      case PilotStage::tightened:
        return shared_->tight;
      case PilotStage::shadow:
      case PilotStage::off:
        break;
    }
    return nullptr;
  }

  std::shared_ptr<Shared> shared_;
};

// A request that is asked once more, of one tier, for what its answer tells.
struct Again final : Sink {
  explicit Again(std::function<void(Answer)> then) : done(std::move(then)) {}
  void on_delta(Delta delta) override { answer.add(std::move(delta)); }
  void on_finish(Finish finish) override {
    answer.finish = std::move(finish);
    done(std::move(answer));
  }
  std::function<void(Answer)> done;
  Answer answer;
};

void ask_again(const std::shared_ptr<Shared>& shared, Request request, std::size_t tier,
               std::function<void(Answer)> done) {
  request.model.clear();
  request.deadline.reset();  // the caller has its answer; nobody waits for this one
  request.priority += shared->options.priority;
  request.allow_revisions = false;
  request.scores = tier < shared->last();
  shared->tiers[tier].start(std::move(request), std::make_shared<Again>(std::move(done)));
}

// In shadow: asks the tiers below the last, cheapest first, and records what they said beside the last one's answer.
class ShadowRun : public std::enable_shared_from_this<ShadowRun> {
 public:
  ShadowRun(std::shared_ptr<Shared> shared, Request request, Answer reference, std::uint64_t epoch)
      : shared_(std::move(shared)), request_(std::move(request)), reference_(std::move(reference)), epoch_(epoch) {}

  void next() {
    const std::size_t tier = outcome_.attempts.size();
    if (tier == shared_->last()) return end();
    ask_again(shared_, request_, tier, [self = shared_from_this()](Answer answer) { self->take(std::move(answer)); });
  }

 private:
  void take(Answer answer) {
    usage_ += answer.finish.usage;
    const bool whole = is_whole(answer.finish.reason);
    const std::optional<double> wrong =
        whole ? shared_->grade(request_, answer.text, reference_.text) : std::optional(1.0);
    if (!wrong) return shared_->failed(usage_);
    outcome_.attempts.push_back(attempt_of(answer, 1 - *wrong));
    next();
  }

  TierOutcome attempt_of(const Answer& answer, double quality) const {
    TierOutcome out;
    out.quality = quality;
    out.output = answer.text;
    out.features = calibrate::score_features(answer.scores);
    const std::vector<Feature> more = calibrate::finish_features(answer.finish.reason);
    out.features.insert(out.features.end(), more.begin(), more.end());
    out.input_tokens = answer.finish.usage.input;
    out.output_tokens = answer.finish.usage.output;
    out.cost = std::max(0.0, shared_->price(answer.finish));
    return out;
  }

  void end() {
    outcome_.type = request_.type;
    if (const std::string_view text = prompt_text(request_); !text.empty()) outcome_.prompt = std::string(text);
    outcome_.attempts.push_back(attempt_of(reference_, 1));
    shared_->recorded(std::move(outcome_), usage_, epoch_);
  }

  std::shared_ptr<Shared> shared_;
  Request request_;
  Answer reference_;
  std::uint64_t epoch_;
  Outcome outcome_{};
  Usage usage_{};
};

// Between the cascade and the caller.
class PilotSink final : public Sink {
 public:
  PilotSink(std::shared_ptr<Shared> shared, std::shared_ptr<Sink> out, std::optional<Request> copy, std::uint64_t epoch)
      : shared_(std::move(shared)), out_(std::move(out)), copy_(std::move(copy)), epoch_(epoch) {}

  void on_prompt(std::span<const Token> prompt) override { out_->on_prompt(prompt); }
  bool full() const override { return out_->full(); }
  void on_delta(Delta delta) override {
    if (delta.revises) answer_.text.clear();
    if (copy_) answer_.text += delta.text;
    out_->on_delta(std::move(delta));
  }
  void on_finish(Finish finish) override {
    answer_.finish = finish;
    const std::optional<std::size_t> tier = answered_by(finish);
    const bool accepted = tier && *tier < shared_->last(), in_service = is_on(shared_->stage.load());
    const bool control = in_service && shared_->is_control(finish.request);
    if (control) copy_.reset();  // says nothing of the policy
    const std::optional<std::uint64_t> number = shared_->count(accepted, accepted && copy_ && in_service, epoch_);
    // A request that names its tier is in neither group.
    note_cost(finish, tier && in_service && (!control || *tier == shared_->last()), control);
    out_->on_finish(std::move(finish));
    try {
      if (copy_ && tier) follow_up(*tier, number);
    } catch (...) {
      shared_->audited({{}, epoch_, number}, {});
      shared_->say(LogLevel::warning, "an audit could not begin: " + caught_text());
    }
  }

 private:
  void note_cost(const Finish& finish, bool counts, bool control) const {
    try {
      if (counts) shared_->spent(finish, control);
    } catch (...) {
      shared_->say(LogLevel::warning, "AutopilotOptions::cost threw: " + caught_text());
    }
  }

  // None = nobody's whole answer was given.
  std::optional<std::size_t> answered_by(const Finish& finish) const {
    if (!is_whole(finish.reason)) return std::nullopt;
    for (const Attempt& a : finish.ledger.attempts)
      if (a.accepted) return shared_->tier_named(a.endpoint);
    return std::nullopt;
  }

  void follow_up(std::size_t tier, std::optional<std::uint64_t> number) {
    const PilotStage stage = shared_->stage.load();
    if (stage == PilotStage::shadow) {
      if (tier == shared_->last())
        std::make_shared<ShadowRun>(shared_, std::move(*copy_), std::move(answer_), epoch_)->next();
      return;
    }
    if (!is_on(stage)) return;
    if (tier == shared_->last()) {
      // No loss by an answer that is the last tier's own; an error among accepted ones is not asked about it.
      if (shared_->bounds_loss()) shared_->audited({0.0, epoch_, {}}, {});
      return;
    }
    Request again = *copy_;
    ask_again(shared_, std::move(again), shared_->last(),
              [shared = shared_, request = std::move(*copy_), text = std::move(answer_.text), epoch = epoch_,
               number](const Answer& reference) {
                const bool whole = is_whole(reference.finish.reason);
                shared->audited({whole ? shared->grade(request, text, reference.text) : std::nullopt, epoch, number},
                                reference.finish.usage);
              });
  }

  std::shared_ptr<Shared> shared_;
  std::shared_ptr<Sink> out_;
  std::optional<Request> copy_;
  std::uint64_t epoch_;
  Answer answer_{};
};

}  // namespace

std::shared_ptr<CascadePolicy> pilot_policy(std::shared_ptr<Shared> shared) {
  return std::make_shared<PilotPolicy>(std::move(shared));
}

std::shared_ptr<Sink> pilot_sink(std::shared_ptr<Shared> shared, const Request& request, std::shared_ptr<Sink> out) {
  const PilotStage stage = shared->stage.load();
  const double share = stage == PilotStage::shadow ? shared->options.shadow_share : shared->options.audit_share;
  std::optional<Request> copy;
  if (stage != PilotStage::off && shared->is_chosen(shared->next.fetch_add(1), share)) copy = request;
  std::uint64_t epoch = 0;
  {
    const std::lock_guard lock(shared->mutex);
    epoch = shared->epoch;
  }
  return std::make_shared<PilotSink>(std::move(shared), std::move(out), std::move(copy), epoch);
}

}  // namespace frugal

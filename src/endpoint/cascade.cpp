// One Attempting per request: the sink of the tier that is trying now. It keeps the answer back until the policy
// accepts it.
#include <frugal/endpoint/cascade.hpp>

#include <algorithm>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "endpoint/prompt_text.hpp"

namespace frugal {

namespace {

RequestView view_of(const Request& r) {
  RequestView view;
  view.type = r.type, view.tenant = r.tenant, view.model = r.model, view.text = prompt_text(r);
  if (const auto* given = std::get_if<TokenPrompt>(&r.prompt)) view.prompt = given->tokens;
  view.max_tokens = r.max_tokens, view.deadline = r.deadline, view.now = steady_clock().now();
  return view;
}

}  // namespace

struct Cascade::Attempting final : Sink, std::enable_shared_from_this<Cascade::Attempting> {
  Attempting(const CascadeOptions& o, Request r, std::shared_ptr<Sink> s)
      : options(o), request(std::move(r)), out(std::move(s)), asked_for_scores(request.scores || request.logprobs) {
    request.scores = true;  // the policy judges by them
  }

  void begin(std::size_t which) {
    tier = std::min(which, options.tiers.size() - 1);
    answer = {};
    if (is_cancelled()) return give({.reason = FinishReason::cancelled});
    Request again = request;
    again.model.clear();
    const std::size_t mine = attempt;
    Call call = options.tiers[tier]->start(std::move(again), shared_from_this());
    const std::lock_guard lock(mutex);
    if (mine != attempt || over) return;  // it was refused on the spot, and the next tier is trying already
    current = std::move(call);
    if (cancelled) current.cancel();
  }

  void cancel() {
    const std::lock_guard lock(mutex);
    cancelled = true;
    current.cancel();
  }

  bool is_cancelled() {
    const std::lock_guard lock(mutex);
    return cancelled;
  }

  void on_prompt(std::span<const Token> prompt) override { out->on_prompt(prompt); }

  void on_delta(Delta delta) override {
    answer.text += delta.text;
    answer.tokens.insert(answer.tokens.end(), delta.tokens.begin(), delta.tokens.end());
    for (TokenScore& score : delta.scores) answer.scores.push_back(std::move(score));
  }

  void on_finish(Finish end) override {
    spent += end.timing.e2e;
    queued += end.timing.queue;
    const bool given_up = end.reason == FinishReason::cancelled || end.reason == FinishReason::deadline;
    Verdict verdict;
    if (!given_up) {
      try {
        verdict = judge(end);
      } catch (const std::exception& error) {
        record(end, std::nullopt, false);
        return give({.reason = FinishReason::error,
                     .error = Error(Errc::policy,
                                    "cascade policy " + std::string(options.policy->name()) + ": " + error.what())});
      }
    }
    const bool last =
        tier + 1 == options.tiers.size() || attempt + 1 >= options.tiers.size();  // no policy can go in circles
    const bool escalate = !given_up && !last && verdict.next && *verdict.next != tier;
    record(end, verdict.score, !escalate);
    if (!escalate) return give(std::move(end));
    {
      const std::lock_guard lock(mutex);
      ++attempt;
    }
    hand_over(end);
    begin(*verdict.next);
  }

  // The next tier starts from what was already written: it verifies the answer instead of writing it again, by tokens
  // where both share a vocabulary, else by text.
  void hand_over(const Finish& end) {
    if (answer.text.empty() && (answer.tokens.empty() || end.vocabulary == 0)) return;
    request.draft = {std::move(answer.text), {}, end.vocabulary};
    if (end.vocabulary != 0) request.draft.tokens = std::move(answer.tokens);
  }

  Verdict judge(const Finish& end) {
    const RequestView view = view_of(request);
    return options.policy->judge({view, tier, options.tiers.size(), attempt, answer.text, answer.scores, end.reason});
  }

  // Every attempt is paid for; a tier that is a composite itself brings several.
  void record(const Finish& end, std::optional<double> score, bool accepted) {
    for (Attempt a : end.ledger.attempts) {
      const std::string place(options.tiers[tier]->name());
      a.endpoint = end.ledger.attempts.size() == 1 ? place : place + "/" + a.endpoint;
      a.score = score;
      a.accepted = a.accepted && accepted;
      ledger.attempts.push_back(std::move(a));
    }
  }

  // The caller sees one answer, with the times it waited and the bill of all tries.
  void give(Finish end) {
    {
      const std::lock_guard lock(mutex);
      over = true;
      current = {};  // a tier's call may hold its sink, which is this
    }
    end.ledger = std::move(ledger);
    end.usage = end.ledger.usage();
    end.timing.queue = queued;
    end.timing.e2e = spent;
    end.timing.ttft = answer.tokens.empty() ? Duration{} : spent;
    end.timing.stalled.reset();  // the answer comes at once
    if (!answer.tokens.empty() || !answer.text.empty()) {
      if (!asked_for_scores) answer.scores.clear();
      out->on_delta({std::move(answer.text), std::move(answer.tokens), std::move(answer.scores)});
    }
    out->on_finish(std::move(end));
  }

  const CascadeOptions& options;
  Request request;
  std::shared_ptr<Sink> out;
  bool asked_for_scores;
  std::size_t tier = 0;
  Answer answer;
  Ledger ledger;
  Duration spent{}, queued{};
  std::mutex mutex;  // guards the four below
  std::size_t attempt = 0;
  bool cancelled = false;
  bool over = false;
  Call current;
};

Cascade::Cascade(CascadeOptions options) : options_(std::move(options)) {
  const bool holes = std::count(options_.tiers.begin(), options_.tiers.end(), nullptr) > 0;
  if (options_.tiers.empty() || holes)
    throw Error(Errc::invalid_argument, "CascadeOptions::tiers is empty or holds a null");
  if (!options_.policy) throw Error(Errc::invalid_argument, "CascadeOptions::policy is null");
}

Cascade::~Cascade() = default;

std::string_view Cascade::name() const { return options_.name; }

Call Cascade::start(Request request, std::shared_ptr<Sink> sink) {
  auto attempting = std::make_shared<Attempting>(options_, std::move(request), std::move(sink));
  std::size_t first = 0;
  try {
    const RequestView view = view_of(attempting->request);
    first = options_.policy->first(view, options_.tiers.size());
  } catch (const std::exception& error) {
    attempting->give(
        {.reason = FinishReason::error,
         .error = Error(Errc::policy, "cascade policy " + std::string(options_.policy->name()) + ": " + error.what())});
    return {};
  }
  attempting->begin(first);
  return Call([weak = std::weak_ptr<Attempting>(attempting)] {
    if (const auto a = weak.lock()) a->cancel();
  });
}

// Tiers take turns, a step each, so that one that is busy with other traffic cannot hold up an attempt that waits for
// the next.
bool Cascade::step() {
  bool moved = false;
  for (Endpoint* tier : options_.tiers) moved |= tier->step();
  return moved;
}

}  // namespace frugal

#include "engine/scheduler.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "engine/views.hpp"

namespace frugal {

bool Scheduler::step() {
  ++stats_.steps;
  bool moved = reap();
  expire_prefixes();
  moved |= admit();
  for (const auto& slot : slots_) moved |= run(*slot);
  sweep();
  return moved;
}

// Decode rows first (they pay TPOT), then prompt chunks in order of admission, until the step is full.
void Scheduler::plan(ModelSlot& slot, std::vector<PlannedRows>& plan) {
  std::uint32_t left = std::min(options_.step_tokens, options_.backend->traits().max_rows);
  const std::vector<Held> candidates = running_;  // reserve() may preempt, which edits running_
  const auto still_running = [&](const Held& s) { return s->pages.has_value() && !s->finished; };
  for (const Held& s : candidates) {
    if (left == 0) break;
    if (s->slot != &slot || !still_running(s) || s->missing() != 1 || s->sink->full()) continue;
    if (!reserve(*s, static_cast<std::uint32_t>(s->tokens.size()))) continue;
    plan.push_back({s, 1, true});
    --left;
  }
  for (const Held& s : candidates) {
    if (left == 0) break;
    if (s->slot != &slot || !still_running(s) || s->missing() <= 1 || s->sink->full()) continue;
    const std::uint32_t rows = std::min({s->missing(), options_.prefill_chunk, left});
    plan.push_back({s, rows, rows == s->missing()});
    left -= rows;
  }
  std::erase_if(plan,
                [&](const PlannedRows& p) { return !still_running(p.sequence); });  // preempted by a later reserve
}

bool Scheduler::run(ModelSlot& slot) {
  std::vector<PlannedRows> rows;
  plan(slot, rows);
  if (rows.empty()) return false;
  try {
    forward(slot, rows);
  } catch (const Error& error) {
    fail(rows, error);
  } catch (const std::exception& error) {
    fail(rows, Error(Errc::internal, "backend " + std::string(options_.backend->name()) + ": " + error.what()));
  }
  return true;
}

namespace {

DrawSpec draw_spec(const Sequence& s) {
  DrawSpec spec;
  spec.sampling = &s.request.sampling;
  spec.prompt = s.prompt();
  spec.output = s.output();
  spec.seed = s.seed;
  spec.position = static_cast<std::uint32_t>(s.tokens.size());
  spec.top_logprobs = s.request.logprobs.value_or(0);
  spec.scores = s.request.scores || s.request.logprobs.has_value();
  return spec;
}

}  // namespace

void Scheduler::forward(ModelSlot& slot, std::span<const PlannedRows> plan) {
  std::vector<DrawSpec> draws;
  std::vector<Segment> segments;
  draws.reserve(plan.size());  // segments keep spans into it
  StepReport report{.step = stats_.steps, .model = slot.id};
  for (const PlannedRows& p : plan) {
    const Sequence& s = *p.sequence;
    Segment segment;
    segment.tokens = std::span(s.tokens).subspan(s.kv, p.rows);
    segment.start = s.kv;
    segment.pages = s.pages->pages();
    if (p.draws) segment.draws = std::span(&draws.emplace_back(draw_spec(s)), 1);
    segments.push_back(segment);
    (s.kv + 1 < s.prompt_tokens ? report.prefill_rows : report.decode_rows) += p.rows;
  }
  std::vector<TokenScore> drawn(draws.size());
  const TimePoint before = clock_.now();
  options_.backend->forward({slot.id, segments, drawn});
  report.forward = clock_.now() - before;
  report.segments = static_cast<std::uint32_t>(plan.size());
  ++stats_.passes;
  stats_.rows += report.prefill_rows + report.decode_rows;
  if (report.prefill_rows > report.decode_rows) {
    const double now = std::chrono::duration<double>(report.forward).count() / report.prefill_rows;
    double& mean = slot.seconds_per_prompt_token;
    mean = mean == 0 ? now : 0.9 * mean + 0.1 * now;
  }
  if (options_.observer) options_.observer->on_step(report);

  std::span<TokenScore> rest(drawn);
  for (const PlannedRows& p : plan) {
    commit(p, rest.first(p.draws ? 1 : 0));
    rest = rest.subspan(p.draws ? 1 : 0);
  }
}

void Scheduler::commit(const PlannedRows& p, std::span<TokenScore> drawn) {
  Sequence& s = *p.sequence;
  account_rows(s, p.rows);
  s.kv += p.rows;
  if (s.indexed < s.prompt_tokens) offer_prefix(s);
  if (!drawn.empty()) accept(s, std::move(drawn.front()));
}

// Row i of the pass stands at position kv + i: new prompt work, work done before a preemption, or the feeding of the
// last token (already counted as decoded when it was drawn).
void Scheduler::account_rows(Sequence& s, std::uint32_t rows) {
  ++s.ledger.passes;
  s.ledger.rows += rows;
  const std::uint32_t end = s.kv + rows;
  s.ledger.recomputed += std::min(end, s.computed) - std::min(s.kv, s.computed);
  const std::uint32_t fresh = std::max(s.kv, s.computed);
  if (end > fresh) s.ledger.prompt_computed += std::min(end, s.prompt_tokens) - std::min(fresh, s.prompt_tokens);
  s.computed = std::max(s.computed, end);
}

void Scheduler::accept(Sequence& s, TokenScore score) {
  if (s.output_tokens() == 0) s.first_token = clock_.now();
  const Token token = score.token;
  s.tokens.push_back(token);
  ++s.ledger.decoded;
  s.held.tokens.push_back(token);
  if (s.request.scores || s.request.logprobs) {
    s.scores.push_back(score);
    s.held.scores.push_back(std::move(score));
  }
  std::string text = s.text.push(token);

  const Tokenizer* tokenizer = s.slot->model->tokenizer();
  if (tokenizer != nullptr && tokenizer->is_end(token)) {
    send(s, std::move(text));
    return finish(s, FinishReason::stop);
  }
  if (s.text.matched()) {
    send(s, std::move(text));
    return finish(s, FinishReason::stop, *s.text.matched());
  }
  std::optional<Stop> stop;
  if (options_.output) {
    try {
      const RequestView request = request_view(s, clock_.now());
      stop = options_.output->after(sequence_view(s, request));
    } catch (const std::exception& error) {
      send(s, std::move(text));
      return finish(s, FinishReason::error, {},
                    Error(Errc::policy, "output policy " + std::string(options_.output->name()) + ": " + error.what()));
    }
  }
  if (stop && stop->trim_tokens > 0) {
    drop_newest(s);
    return finish(s, FinishReason::capped, stop->policy);
  }
  send(s, std::move(text));
  if (stop) return finish(s, FinishReason::capped, stop->policy);
  if (s.output_tokens() >= s.budget) return finish(s, s.budget_reason, s.capped_by);
}

// A policy may cut tokens that nobody has seen; every token but the newest has been delivered.
void Scheduler::drop_newest(Sequence& s) {
  s.tokens.pop_back();
  s.held = {};
  s.text.discard();
  --s.ledger.decoded;
  ++s.ledger.trimmed;
}

void Scheduler::send(Sequence& s, std::string text) {
  if (s.held.tokens.empty() && text.empty()) return;
  s.held.text = std::move(text);
  try {
    s.sink->on_delta(std::exchange(s.held, {}));
  } catch (...) {  // a reader that throws has given up; nobody else may suffer for it
    s.cancelled.store(true);
  }
}

void Scheduler::finish(Sequence& s, FinishReason reason, std::string detail, std::optional<Error> error) {
  if (s.finished) return;
  s.finished = true;
  send(s, s.text.flush());
  if (s.pages) offer_prefix(s);
  s.pages.reset();
  s.ended = clock_.now();

  Finish end;
  end.reason = reason;
  end.detail = std::move(detail);
  end.error = std::move(error);
  end.model = s.slot->name;
  end.seed = s.seed;
  end.usage.input = s.ledger.prompt_computed + s.ledger.prompt_cached;
  end.usage.cached_read = s.ledger.prompt_cached;
  end.usage.output = s.output_tokens();
  end.timing.queue = (s.was_admitted ? s.admitted : s.ended) - s.submitted;
  if (s.output_tokens() > 0) end.timing.ttft = s.first_token - s.submitted;
  end.timing.e2e = s.ended - s.submitted;
  end.ledger.attempts.push_back({"engine", s.slot->name, end.usage, s.ledger, 0, true});
  stats_.tokens += s.ledger;
  if (options_.observer) options_.observer->on_finished(s.id, end);
  try {
    s.sink->on_finish(std::move(end));
  } catch (const std::exception& thrown) {
    if (options_.log) options_.log(LogLevel::warning, s.id.value, std::string("a sink threw: ") + thrown.what());
  }
}

// After a device error nothing in the arena can be trusted; any other failure concerns the rows of that batch alone.
void Scheduler::fail(std::span<const PlannedRows> plan, const Error& error) {
  if (options_.log) options_.log(LogLevel::error, 0, "forward failed: " + error.message());
  if (error.code() == Errc::device) {
    for (const Held& s : running_) {
      s->indexed = static_cast<std::uint32_t>(s->tokens.size());  // offers nothing
      finish(*s, FinishReason::error, {}, error);
    }
    if (index_ != nullptr) index_->clear();
    return;
  }
  for (const PlannedRows& p : plan) finish(*p.sequence, FinishReason::error, {}, error);
}

void Scheduler::sweep() {
  std::erase_if(running_, [](const Held& s) { return s->finished; });
  std::erase_if(waiting_, [](const Held& s) { return s->finished; });
  stats_.running = static_cast<std::uint32_t>(running_.size());
  stats_.waiting = static_cast<std::uint32_t>(waiting_.size());
}

void Scheduler::check_integrity() const {
  index_ != nullptr ? index_->check_integrity() : arena_.check_integrity();
  for (const Held& s : running_) {
    if (!s->pages || s->pages->tokens() < s->kv)
      throw Error(Errc::internal, "sequence " + std::to_string(s->id.value) + " has fewer pages than tokens");
  }
  for (const Held& s : waiting_)
    if (s->pages && s->pages->tokens() > 0) throw Error(Errc::internal, "a waiting sequence holds pages");
}

void Scheduler::cancel_all() {
  for (const Held& s : std::vector<Held>(running_)) finish(*s, FinishReason::cancelled);
  for (const Held& s : std::vector<Held>(waiting_.begin(), waiting_.end())) finish(*s, FinishReason::cancelled);
  sweep();
}

}  // namespace frugal

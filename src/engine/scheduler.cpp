#include "engine/scheduler.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "core/caught.hpp"
#include "engine/say.hpp"
#include "engine/views.hpp"

namespace frugal {

bool Scheduler::step() {
  ++stats_.steps;
  if (speculation_ != nullptr) speculation_->begin_step(stats_.steps);
  bool moved = reap();
  expire_prefixes();
  try {
    moved |= admit();
  } catch (...) {  // nobody has moved: again in the next step
    say(options_.log, LogLevel::error, {}, [] { return "admission: " + caught_text(); });
    moved = true;
  }
  for (const auto& slot : slots_) moved |= run(*slot);
  sweep();
  return moved;
}

// Decode rows first (they pay TPOT), then their drafts, then prompt chunks in order of admission, until the step is
// full.
void Scheduler::plan(ModelSlot& slot, std::vector<PlannedRows>& plan) {
  std::uint32_t left = std::min(options_.step_tokens, options_.backend->traits().max_rows);
  std::vector<Held> candidates;  // not running_ itself: reserve() may preempt, which edits it
  for (const Held& s : running_)
    if (candidates.size() < options_.max_running && !s->sink->full()) candidates.push_back(s);
  const auto still_running = [&](const Held& s) { return s->pages.has_value() && !s->finished; };
  for (const Held& s : candidates) {
    if (left == 0) break;
    if (s->slot != &slot || !still_running(s) || s->missing() != 1) continue;
    try {
      if (!reserve(*s, static_cast<std::uint32_t>(s->tokens.size()))) continue;
    } catch (...) {
      finish(*s, FinishReason::error, {}, caught_error(Errc::internal, "pages for the next token"));
      continue;
    }
    plan.push_back({s, 1, 1});
    --left;
  }
  std::erase_if(plan, [&](const PlannedRows& p) { return !still_running(p.sequence); });  // by a later reserve
  if (speculation_ != nullptr) draft(plan, left);
  for (const Held& s : candidates) {
    if (left == 0) break;
    if (s->slot != &slot || !still_running(s) || s->missing() <= 1) continue;
    const std::uint32_t rows = std::min({s->missing(), options_.prefill_chunk, left});
    plan.push_back({s, rows, rows == s->missing() ? 1U : 0U});
    left -= rows;
  }
}

bool Scheduler::run(ModelSlot& slot) {
  std::vector<PlannedRows> rows;
  const char* at = "planning a step";
  try {
    plan(slot, rows);
    if (rows.empty()) return false;
    at = "a forward pass";
    forward(slot, rows);
  } catch (...) {
    fail(rows, caught_error(Errc::internal, at));
  }
  return true;
}

namespace {

// The draw after `drafts` guesses of the sequence's chain.
DrawSpec draw_spec(const Sequence& s, std::uint32_t drafts) {
  DrawSpec spec;
  spec.sampling = &s.request.sampling;
  spec.prompt = s.prompt();
  spec.output = s.output();
  spec.tokens = s.slot->model->tokens();
  spec.seed = s.seed;
  spec.position = static_cast<std::uint32_t>(s.tokens.size()) + drafts;
  spec.top_logprobs = s.request.logprobs.value_or(0);
  spec.scores = s.request.scores || s.request.logprobs.has_value();
  if (!s.drafts || s.drafts->chain.size() == 0) return spec;
  const Chain& chain = s.drafts->chain;
  spec.output = std::span(chain.tokens).subspan(s.prompt_tokens, s.output_tokens() + drafts);
  if (drafts < chain.q.size()) spec.draft_distribution = chain.q[drafts], spec.drafted = chain.drafts()[drafts];
  return spec;
}

// A verify chain's rows are the last committed token and the drafts.
std::span<const Token> row_tokens(const Sequence& s, std::uint32_t rows) {
  const bool chain = s.drafts && s.drafts->chain.size() > 0;
  return std::span(chain ? s.drafts->chain.tokens : s.tokens).subspan(s.kv, rows);
}

}  // namespace

void Scheduler::enqueue(Held sequence) {
  try {
    waiting_.push_back(sequence);
  } catch (...) {
    finish(*sequence, FinishReason::error, {}, caught_error(Errc::internal, "the queue"));
  }
}

void Scheduler::forward(ModelSlot& slot, std::span<const PlannedRows> plan) {
  std::vector<DrawSpec> draws;
  std::vector<Segment> segments;
  std::size_t drawing = 0;
  for (const PlannedRows& p : plan) drawing += p.draws;
  draws.reserve(drawing);  // segments keep spans into it
  StepReport report{.step = stats_.steps, .model = slot.id};
  for (const PlannedRows& p : plan) {
    const Sequence& s = *p.sequence;
    Segment segment;
    segment.tokens = row_tokens(s, p.rows);
    segment.start = s.kv;
    segment.pages = s.pages->pages();
    segment.slot = *s.seat;
    segment.adapter = s.adapter;
    for (std::uint32_t i = 0; i < p.draws; ++i) draws.push_back(draw_spec(s, i));
    segment.draws = std::span(draws).last(p.draws);
    segments.push_back(segment);
    (s.kv + 1 < s.prompt_tokens ? report.prefill_rows : report.decode_rows) += p.rows;
    if (p.draws > 1) report.draft_rows += p.rows - 1;
  }
  std::vector<TokenScore> drawn(draws.size());
  const TimePoint before = clock_.now();
  try {
    const PassReport pass = options_.backend->wait(options_.backend->submit({slot.id, segments, drawn}));
    report.forward = pass.device_time.value_or(clock_.now() - before);
  } catch (...) {
    throw caught_error(Errc::internal, "backend " + std::string(options_.backend->name()));
  }
  report.segments = static_cast<std::uint32_t>(plan.size());
  measure(slot, report);
  if (report.prefill_rows > 0) note_stalls(plan, report);

  std::span<TokenScore> rest(drawn);
  for (const PlannedRows& p : plan) {
    try {
      if (p.draws > 1)
        commit_run(p, rest.first(p.draws), report.forward);
      else
        commit(p, rest.first(p.draws));
    } catch (...) {
      finish(*p.sequence, FinishReason::error, {}, caught_error(Errc::internal, "taking in what was drawn"));
    }
    rest = rest.subspan(p.draws);
  }
}

void Scheduler::measure(ModelSlot& slot, const StepReport& report) {
  ++stats_.passes;
  stats_.rows += report.prefill_rows + report.decode_rows;
  const double seconds = std::chrono::duration<double>(report.forward).count();
  const auto mix = [](double& mean, double now) { mean = mean == 0 ? now : 0.9 * mean + 0.1 * now; };
  if (report.prefill_rows > report.decode_rows) mix(slot.seconds_per_prompt_token, seconds / report.prefill_rows);
  if (report.prefill_rows == 0 && report.draft_rows == 0) mix(slot.seconds_per_plain_pass, seconds);
  if (speculation_ != nullptr && report.prefill_rows == 0)
    speculation_->observe({slot.id, false, 0, report.segments, report.decode_rows, seconds});
  if (options_.observer) options_.observer->on_step(report);
}

// Whoever is between two tokens waits for this pass, whether its own row is in it or another model's turn comes first.
void Scheduler::note_stalls(std::span<const PlannedRows> plan, const StepReport& report) {
  for (const Held& s : running_)
    if (s->output_tokens() > 0 && !s->finished && !s->sink->full()) s->beside_prompts += report.forward;
  for (const PlannedRows& p : plan)
    if (p.sequence->output_tokens() > 0 && p.draws > 0) ++p.sequence->passes_beside_prompts;
}

Error Scheduler::no_draw(const Sequence& s) {
  return Error(Errc::bad_model, "model " + s.slot->name + " gave no finite logit to draw a token from");
}

void Scheduler::commit(const PlannedRows& p, std::span<TokenScore> drawn) {
  Sequence& s = *p.sequence;
  account_rows(s, p.rows, p.rows);
  s.kv += p.rows;
  if (s.indexed < s.prompt_tokens) offer_prefix(s);
  if (!drawn.empty() && drawn.front().token < 0) return finish(s, FinishReason::error, {}, no_draw(s));
  if (!drawn.empty()) accept(s, std::move(drawn.front()), Owner::decoded);
  send(s);
}

// Row i of the pass stands at position kv + i: new prompt work, work done before a preemption, or the feeding of the
// last token (already counted as decoded when it was drawn). Rows beyond `kept` were rejected drafts.
void Scheduler::account_rows(Sequence& s, std::uint32_t rows, std::uint32_t kept) {
  ++s.ledger.passes;
  s.ledger.rows += rows;
  const std::uint32_t end = s.kv + kept;
  s.ledger.recomputed += std::min(end, s.computed) - std::min(s.kv, s.computed);
  const std::uint32_t fresh = std::max(s.kv, s.computed);
  if (end > fresh) s.ledger.prompt_computed += std::min(end, s.prompt_tokens) - std::min(fresh, s.prompt_tokens);
  s.computed = std::max(s.computed, end);
}

namespace {

// The newest token's owner.
void own(Sequence& s, std::uint64_t& tokens) {
  ++tokens;
  if (&tokens == &s.ledger.decoded) return;
  DraftLedger& figures = s.drafts->figures;
  ++figures.accepted;
  ++figures.accepted_at[s.tokens.size() - 1 - s.drafts->chain.committed];
}

}  // namespace

namespace {

// The token and its text become part of the answer; the delta has room for them. Where it throws, nothing has changed.
std::string take(Sequence& s, const TokenScore& score) {
  const bool scored = s.request.scores || s.request.logprobs;
  s.held.tokens.reserve(s.held.tokens.size() + 1);
  if (scored) s.held.scores.reserve(s.held.scores.size() + 1);
  s.tokens.push_back(score.token);
  try {
    if (scored) s.scores.push_back(score);
    std::string text = s.text.push(score.token);
    try {
      s.held.text.reserve(s.held.text.size() + text.size());
    } catch (...) {
      s.text.drop_newest();
      throw;
    }
    return text;
  } catch (...) {
    s.tokens.pop_back();
    if (s.scores.size() > s.output_tokens()) s.scores.pop_back();
    throw;
  }
}

}  // namespace

// One more token of the answer. It joins those of its pass in `held`, which go out together: a policy may cut the
// newest token, but none that has been judged.
void Scheduler::accept(Sequence& s, TokenScore score, Owner owner) {
  if (s.output_tokens() == 0) s.first_token = clock_.now();
  const Token token = score.token;
  const bool scored = s.request.scores || s.request.logprobs;
  const std::string text = take(s, score);
  own(s, owner == Owner::decoded ? s.ledger.decoded : owner == Owner::drafted ? s.ledger.accepted : s.ledger.forced);
  const auto keep = [&] {  // there is room for all of it
    s.held.tokens.push_back(token);
    if (scored) s.held.scores.push_back(std::move(score));
    s.held.text += text;
  };

  const Tokenizer* tokenizer = s.slot->model->tokenizer();
  if (tokenizer != nullptr && tokenizer->is_end(token)) return keep(), finish(s, FinishReason::stop);
  if (s.text.matched()) return keep(), finish(s, FinishReason::stop, *s.text.matched());
  std::optional<Stop> stop;
  if (options_.output) {
    try {
      const RequestView request = request_view(s, clock_.now());
      stop = options_.output->after(sequence_view(s, request));
    } catch (...) {
      const Error error = caught_error(Errc::policy, "output policy " + std::string(options_.output->name()));
      return keep(), finish(s, FinishReason::error, {}, error);
    }
  }
  if (stop && stop->trim_tokens > 0) return drop_newest(s, owner), finish(s, FinishReason::capped, stop->policy);
  keep();
  if (stop) return finish(s, FinishReason::capped, stop->policy);
  if (s.output_tokens() >= s.budget) return finish(s, s.budget_reason, s.capped_by);
}

// A policy may cut tokens that nobody has seen; every token but the newest counts as delivered. One that was drafted is
// a wasted draft then.
void Scheduler::drop_newest(Sequence& s, Owner owner) {
  s.tokens.pop_back();
  if (s.request.scores || s.request.logprobs) s.scores.pop_back();
  s.kv = std::min(s.kv, static_cast<std::uint32_t>(s.tokens.size()));
  s.text.drop_newest();
  if (owner == Owner::decoded) {
    --s.ledger.decoded;
    ++s.ledger.trimmed;
    return;
  }
  --(owner == Owner::drafted ? s.ledger.accepted : s.ledger.forced);
  DraftLedger& figures = s.drafts->figures;
  --figures.accepted;
  --figures.accepted_at[s.tokens.size() - s.drafts->chain.committed];
}

void Scheduler::send(Sequence& s) {
  if (s.held.tokens.empty() && s.held.text.empty()) return;
  try {
    s.sink->on_delta(std::exchange(s.held, {}));
  } catch (...) {  // a reader that throws has given up; nobody else may suffer for it
    s.cancelled.store(true);
  }
}

// What the passes beside prompts took longer than as many plain ones.
std::optional<Duration> Scheduler::stalled(const Sequence& s) {
  if (s.beside_prompts == Duration{}) return Duration{};
  if (s.slot->seconds_per_plain_pass == 0) return std::nullopt;  // nothing to compare with yet
  const std::chrono::duration<double> plain(static_cast<double>(s.passes_beside_prompts) *
                                            s.slot->seconds_per_plain_pass);
  return std::max(Duration{}, s.beside_prompts - std::chrono::duration_cast<Duration>(plain));
}

// Whatever fails on the way, the pages go back and the one Finish goes out.
void Scheduler::finish(Sequence& s, FinishReason reason, std::string detail, std::optional<Error> error) {
  if (s.finished) return;
  s.finished = true;
  try {
    s.held.text += s.text.flush();
  } catch (...) {
    reason = FinishReason::error;
    error = caught_error(Errc::internal, "the end of the text");
  }
  s.reason = reason;
  send(s);
  if (s.pages) offer_prefix(s);
  if (speculation_ != nullptr) speculation_->leave(s);
  s.pages.reset();
  leave_seat(s);
  s.ended = clock_.now();
  Finish end;
  try {
    end = finish_of(s, std::move(detail), std::move(error));
    if (options_.observer) options_.observer->on_finished(s.id, end);
  } catch (...) {
    end = {};
    end.reason = FinishReason::error;
    end.error = caught_error(Errc::internal, "the account of the request");
    s.reason = end.reason;
  }
  try {
    s.sink->on_finish(std::move(end));
  } catch (...) {
    say(options_.log, LogLevel::warning, s.id, [] { return "a sink threw: " + caught_text(); });
  }
}

Finish Scheduler::finish_of(const Sequence& s, std::string detail, std::optional<Error> error) {
  Finish end;
  end.reason = s.reason;
  end.detail = std::move(detail);
  end.error = std::move(error);
  end.model = s.slot->name;
  end.seed = s.seed;
  end.vocabulary = s.slot->tokenizer;
  end.usage.input = s.ledger.prompt_computed + s.ledger.prompt_cached;
  end.usage.cached_read = s.ledger.prompt_cached;
  end.usage.output = s.output_tokens();
  end.timing.queue = (s.was_admitted ? s.admitted : s.ended) - s.submitted;
  if (s.output_tokens() > 0) end.timing.ttft = s.first_token - s.submitted;
  end.timing.e2e = s.ended - s.submitted;
  if (s.output_tokens() > 0) end.timing.stalled = stalled(s);
  end.request = s.id;
  end.id = s.request.id;
  Attempt attempt{.endpoint = options_.name, .model = s.slot->name, .usage = end.usage, .tokens = s.ledger};
  if (s.drafts) report_drafts(s, attempt);
  stats_.tokens += *attempt.tokens;
  stats_.drafts += attempt.drafts;
  end.ledger.attempts.push_back(std::move(attempt));
  return end;
}

// After a device error nothing in the arena can be trusted; any other failure concerns the rows of that batch alone.
void Scheduler::fail(std::span<const PlannedRows> plan, const Error& error) {
  say(options_.log, LogLevel::error, {}, [&] { return "the step failed: " + error.message(); });
  if (error.code() == Errc::device) {
    for (const Held& s : running_) {
      s->indexed = static_cast<std::uint32_t>(s->tokens.size());  // offers nothing
      if (speculation_ != nullptr) speculation_->abandon(*s);
      finish(*s, FinishReason::error, {}, error);
    }
    if (index_ != nullptr) index_->clear();
    return;
  }
  for (const PlannedRows& p : plan) finish(*p.sequence, FinishReason::error, {}, error);
}

void Scheduler::sweep() {
  if (speculation_ != nullptr) {
    for (const Held& s : running_)
      if (s->finished) speculation_->finished(*s, s->reason);
  }
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
    if (speculation_ != nullptr) speculation_->check_integrity(*s);
  }
  for (const Held& s : waiting_)
    if (s->pages && s->pages->tokens() > 0) throw Error(Errc::internal, "a waiting sequence holds pages");
}

void Scheduler::end_all(FinishReason reason, const std::optional<Error>& error) {
  for (const Held& s : std::vector<Held>(running_)) finish(*s, reason, {}, error);
  for (const Held& s : std::vector<Held>(waiting_.begin(), waiting_.end())) finish(*s, reason, {}, error);
  sweep();
}

std::optional<TimePoint> Scheduler::next_deadline() const {
  std::optional<TimePoint> first;
  const auto look = [&first](const Held& s) {
    if (s->request.deadline && (!first || *s->request.deadline < *first)) first = s->request.deadline;
  };
  for (const Held& s : running_) look(s);
  for (const Held& s : waiting_) look(s);
  return first;
}

}  // namespace frugal

#include "engine/pass.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "core/caught.hpp"
#include "engine/run_pass.hpp"
#include "engine/say.hpp"
#include "engine/views.hpp"

namespace frugal {
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
  if (s.constraint) spec.mask = s.constraint->mask(drafts);
  if (!s.drafts || s.drafts->chain.size() == 0) return spec;
  const Chain& chain = s.drafts->chain;
  spec.output = std::span(chain.tokens).subspan(s.prompt_tokens, s.output_tokens() + drafts);
  if (drafts == chain.size()) return spec;
  spec.deferral = s.request.deferral;
  spec.drafted = chain.drafts()[drafts];
  if (drafts < chain.kept.size()) spec.draft = chain.kept[drafts];
  if (drafts < chain.q.size()) spec.draft_distribution = chain.q[drafts];
  return spec;
}

// A verify chain's rows are the last committed token and the drafts.
std::span<const Token> row_tokens(const Sequence& s, std::uint32_t rows) {
  const bool chain = s.drafts && s.drafts->chain.size() > 0;
  return std::span(chain ? s.drafts->chain.tokens : s.tokens).subspan(s.lane.kv, rows);
}

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

bool can_run(const Sequence& s) { return s.lane.pages.has_value() && !s.finished; }

}  // namespace

bool Pass::run(ModelSlot& slot) noexcept {
  Plan rows;
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

// Decode rows first (they pay TPOT), then their drafts, then prompt chunks, until the step is full.
void Pass::plan(ModelSlot& slot, Plan& plan) {
  std::uint32_t left = options_.step_tokens;
  const std::vector<Held> candidates = admission_.active();
  plan_decodes(slot, candidates, plan, left);
  const bool constrained =
      std::any_of(plan.begin(), plan.end(), [](const PlannedRows& p) { return p.sequence->constraint != nullptr; });
  if (speculation_ != nullptr || constrained) draft(plan, left);
  plan_prompts(slot, candidates, plan, left);
  constrain(plan);
}

void Pass::plan_decodes(const ModelSlot& slot, std::span<const Held> candidates, Plan& plan, std::uint32_t& left) {
  for (const Held& s : candidates) {
    if (left == 0) break;
    if (s->slot != &slot || !can_run(*s) || s->missing() != 1) continue;
    try {
      if (s->constraint) s->constraint->rewind();
      if (!admission_.reserve(*s, static_cast<std::uint32_t>(s->tokens.size()))) continue;
    } catch (...) {
      endings_.fail(*s, "pages for the next token");
      continue;
    }
    plan.push_back({s, 1, 1});
    --left;
  }
  std::erase_if(plan, [](const PlannedRows& p) { return !can_run(*p.sequence); });  // lost its pages to a later one
}

// A prompt does not ride with one of higher priority, whose first token it would hold up.
void Pass::plan_prompts(const ModelSlot& slot, std::span<const Held> candidates, Plan& plan, std::uint32_t left) {
  const bool others_decode =
      std::any_of(candidates.begin(), candidates.end(), [](const Held& s) { return can_run(*s) && s->missing() == 1; });
  if (options_.stall_budget)
    left = std::min(left, rows_in_budget(slot, plan, left));
  else if (others_decode)
    left = std::min(left, options_.prefill_chunk);
  const Sequence* planned = nullptr;
  for (const Held& s : candidates) {
    if (left == 0) break;
    if (s->slot != &slot || !can_run(*s) || s->missing() <= 1) continue;
    if (planned != nullptr && !s->urgent && s->priority() < planned->priority()) break;
    planned = s.get();
    const std::uint32_t rows = std::min({s->missing(), options_.prefill_chunk, left});
    plan.push_back({s, rows, rows == s->missing() ? 1U : 0U});
    left -= rows;
  }
}

std::uint32_t Pass::rows_in_budget(const ModelSlot& slot, const Plan& plan, std::uint32_t left) const {
  std::uint32_t decode = 0;
  for (const PlannedRows& p : plan) decode += p.rows;
  const double budget = std::chrono::duration<double>(*options_.stall_budget).count();
  return slot.costs.prompt_rows_within(budget, decode, std::max(left, 1U));
}

void Pass::forward(ModelSlot& slot, const Plan& plan) {
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
    segment.start = s.lane.kv;
    segment.pages = s.lane.pages->pages();
    segment.slot = *s.seat;
    segment.adapter = s.adapter;
    segment.prompt = std::min(p.rows, s.prompt_tokens - std::min(s.prompt_tokens, s.lane.kv));
    for (std::uint32_t i = 0; i < p.draws; ++i) draws.push_back(draw_spec(s, i));
    segment.draws = std::span(draws).last(p.draws);
    segments.push_back(segment);
    (s.lane.kv + 1 < s.prompt_tokens ? report.prefill_rows : report.decode_rows) += p.rows;
    if (p.draws > 1) report.draft_rows += p.rows - 1;
  }
  std::vector<TokenScore> drawn(draws.size());
  const TimePoint before = clock_.now();
  try {
    const PassReport pass = run_pass(*options_.backend, options_.log, {slot.id, segments, drawn}).report;
    report.forward = pass.device_time.value_or(clock_.now() - before);
  } catch (...) {
    throw caught_error(Errc::internal, "backend " + std::string(options_.backend->name()));
  }
  report.segments = static_cast<std::uint32_t>(plan.size());
  measure(slot, report);
  if (report.prefill_rows > 0) note_stalls(plan, report);

  const TimePoint now = clock_.now();
  std::span<TokenScore> rest(drawn);
  for (const PlannedRows& p : plan) {
    Sequence& s = *p.sequence;
    const std::uint32_t answered = s.output_tokens();
    try {
      if (p.draws > 1)
        commit_run(p, rest.first(p.draws), report.forward);
      else
        commit(p, rest.first(p.draws));
    } catch (...) {
      endings_.fail(s, "taking in what was drawn");
    }
    admission_.charge(s, s.output_tokens() - std::min(answered, s.output_tokens()), now);
    rest = rest.subspan(p.draws);
  }
}

void Pass::measure(ModelSlot& slot, const StepReport& report) {
  ++stats_.passes;
  stats_.rows += report.prefill_rows + report.decode_rows;
  const double seconds = std::chrono::duration<double>(report.forward).count();
  slot.costs.observe({report.prefill_rows, report.decode_rows, report.draft_rows}, seconds);
  if (speculation_ != nullptr && report.prefill_rows == 0)
    speculation_->observe({slot.id, false, 0, report.segments, report.decode_rows, seconds});
  if (options_.observer) options_.observer->on_step(report);
}

// Whoever is between two tokens waits for this pass, whether its own row is in it or another model's turn comes first.
void Pass::note_stalls(const Plan& plan, const StepReport& report) {
  for (const Held& s : admission_.running())
    if (s->output_tokens() > 0 && !s->finished && !s->sink->full()) s->beside_prompts += report.forward;
  for (const PlannedRows& p : plan)
    if (p.sequence->output_tokens() > 0 && p.draws > 0) ++p.sequence->passes_beside_prompts;
}

Error Pass::no_draw(const Sequence& s, std::uint32_t draw) {
  if (s.constraint && !s.constraint->allowed_any(draw)) return s.constraint->dead_end();
  return Error(Errc::bad_model, "model " + s.slot->name + " gave no finite logit to draw a token from");
}

void Pass::commit(const PlannedRows& p, std::span<TokenScore> drawn) {
  Sequence& s = *p.sequence;
  s.account.computed(s.lane.kv, p.rows, p.rows, s.prompt_tokens);
  s.lane.kv += p.rows;
  const bool again = s.constraint && !drawn.empty() && s.constraint->keep(drawn) == 0;
  if (again) --s.lane.kv;  // its row goes once more
  if (s.lane.indexed < s.prompt_tokens) endings_.offer(s);
  if (drawn.empty() || again) return;
  if (drawn.front().token < 0) {
    endings_.finish(s, FinishReason::error, {}, no_draw(s, 0));
    return;
  }
  if (s.constraint) s.constraint->rewind();
  accept(s, std::move(drawn.front()), {});
  Endings::send(s);
}

std::optional<Stop> Pass::ask_policy(const Sequence& s) const {
  if (!options_.output) return std::nullopt;
  try {
    const RequestView request = request_view(s, clock_.now());
    return options_.output->after(sequence_view(s, request));
  } catch (...) {
    throw Error(Errc::policy, "output policy " + std::string(options_.output->name()) + ": " + caught_text());
  }
}

// One more token of the answer. It joins those of its pass in `held`, which go out together: a policy may cut the
// newest token, but none that has been judged.
void Pass::accept(Sequence& s, TokenScore score, Account::Origin origin) {
  if (s.output_tokens() == 0) s.first_token = clock_.now();
  const Token token = score.token;
  const bool scored = s.request.scores || s.request.logprobs;
  const std::string text = take(s, score);
  s.account.accept(origin);
  const auto keep = [&] {  // there is room for all of it
    s.held.tokens.push_back(token);
    if (scored) s.held.scores.push_back(std::move(score));
    s.held.text += text;
  };

  const Tokenizer* tokenizer = s.slot->model->tokenizer();
  const bool ended = tokenizer != nullptr && tokenizer->is_end(token);
  bool complete = false;
  std::optional<Stop> stop;
  try {
    complete = ended || (s.constraint && s.constraint->accept(token));
    if (!complete && !s.text.matched()) stop = ask_policy(s);
  } catch (...) {
    keep();
    endings_.fail(s, "judging the newest token");
    return;
  }
  if (stop && stop->trim_tokens > 0) {
    drop_newest(s, origin);
    endings_.finish(s, FinishReason::capped, stop->policy);
    return;
  }
  keep();
  if (s.text.matched() && !ended) {
    endings_.finish(s, FinishReason::stop, *s.text.matched());
  } else if (complete) {
    endings_.finish(s, FinishReason::stop);
  } else if (stop) {
    endings_.finish(s, FinishReason::capped, stop->policy);
  } else if (s.output_tokens() >= s.budget) {
    endings_.finish(s, s.budget_reason, s.capped_by);
  }
}

// A policy may cut tokens that nobody has seen; every token but the newest counts as delivered.
void Pass::drop_newest(Sequence& s, Account::Origin origin) {
  s.tokens.pop_back();
  if (s.request.scores || s.request.logprobs) s.scores.pop_back();
  s.lane.kv = std::min(s.lane.kv, static_cast<std::uint32_t>(s.tokens.size()));
  s.text.drop_newest();
  if (s.constraint) s.constraint->drop_newest();
  s.account.trim(origin);
}

// After a device error nothing in the arena can be trusted; any other failure concerns the rows of that batch alone.
void Pass::fail(const Plan& plan, const Error& error) noexcept {
  say(options_.log, LogLevel::error, {}, [&] { return "the step failed: " + error.message(); });
  const auto end = [&](Sequence& s) {
    try {
      endings_.finish(s, FinishReason::error, {}, error);
    } catch (...) {  // no memory for one more copy of the error
      endings_.fail(s, "the step");
    }
  };
  if (error.code() == Errc::device) {
    for (const Held& s : admission_.running()) {
      s->lane.indexed = static_cast<std::uint32_t>(s->tokens.size());  // offers nothing
      if (speculation_ != nullptr) speculation_->abandon(*s);
      end(*s);
    }
    if (store_.index != nullptr) store_.index->clear();
    return;
  }
  for (const PlannedRows& p : plan) end(*p.sequence);
}

}  // namespace frugal

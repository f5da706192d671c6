#include "engine/draft_model.hpp"
#include "engine/run_pass.hpp"

#include <frugal/backend/sampling.hpp>
#include <frugal/backend/verification.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <string>

namespace frugal {
namespace {

std::uint32_t common_prefix(std::span<const Token> a, std::span<const Token> b) {
  const std::size_t most = std::min(a.size(), b.size());
  std::size_t n = 0;
  while (n < most && a[n] == b[n]) ++n;
  return static_cast<std::uint32_t>(n);
}

std::uint32_t size_of(std::span<const Token> tokens) { return static_cast<std::uint32_t>(tokens.size()); }

DraftLane& lane_of(const DraftModelSlot& model, Sequence& s) { return s.drafts->lanes[model.lane]; }

// A seed asks for the answer that this seed gives, so it always gets the target's own draws.
bool draws_at_random(const DraftModelSlot& model, const Sequence& s) {
  return model.sampled && s.request.sampling.temperature > 0.0F && !s.request.sampling.seed;
}

// Greedy drafts that the rule `opt` judges: it asks for the distribution whose likeliest token each of them is.
bool shows_distribution(const Sequence& s) {
  const Deferral& d = s.request.deferral;
  return !(s.request.sampling.temperature > 0.0F) && d.alpha > 0.0F && d.rule == DeferralRule::opt;
}

// The lowest id among equals; none where nothing has a probability.
Token likeliest(std::span<const float> q) {
  const auto most = std::max_element(q.begin(), q.end());
  return most != q.end() && *most > 0.0F ? static_cast<Token>(most - q.begin()) : -1;
}

// Only settings that contain no token ids carry over to another vocabulary.
Sampling without_tokens(const Sampling& s) {
  Sampling out;
  out.temperature = s.temperature;
  out.top_k = s.top_k;
  out.top_p = s.top_p;
  out.min_p = s.min_p;
  return out;
}

}  // namespace

/// One order at work. `own` holds the tokens in the model's vocabulary where that is another one.
struct DraftModelPass::Row {
  Sequence* s;
  DraftLane* lane;
  bool bridged;
  bool weighed;            // its distribution goes with the draft
  bool likeliest = false;  // of that distribution, which is at temperature 1; else it is drawn at random
  bool kept = false;       // the backend draws, and has the distribution when the draft is judged
  DrawRef drawn{};         // where kept
  Sampling sampling{};     // where it is not the request's own
  std::vector<Token> own{};
  std::uint32_t context = 0;  // tokens that are no drafts
  std::uint32_t rows = 0;     // in this pass
  std::uint32_t steps = 1;    // of this pass
  bool draws = false;
  bool done = false;
  DrawSpec spec{};
  std::vector<float> logits{};  // [vocab] where weighed, and drawn here

  std::vector<Token>& tokens() { return bridged ? own : s->drafts->chain.tokens; }
  std::uint32_t drafted() { return size_of(tokens()) - context; }
  /// What it draws next asks nothing of the host but the token before.
  bool may_chain() const {
    const Sampling& p = s->request.sampling;
    const bool penalties = p.repetition_penalty != 1.0F || p.presence_penalty != 0.0F || p.frequency_penalty != 0.0F;
    return !bridged && !s->constraint && !penalties && (!weighed || kept);
  }
};

/// What a row drew in a pass: number `first` and every `stride`-th after it.
struct DraftModelPass::Draws {
  Ticket ticket{};
  std::span<const TokenScore> drawn;
  std::size_t first = 0, stride = 0;
};

std::uint32_t DraftModelPass::behind(const DraftModelSlot& model, const Sequence& s) const {
  return size_of(s.tokens) - std::min(s.drafts->lanes[model.lane].kv, size_of(s.tokens));
}

// The lane has pages for the context and all drafts but the last, which is never fed. False: no room, no drafts.
bool DraftModelPass::prepare(DraftModelSlot& model, Sequence& s, std::uint64_t step) const {
  DraftLane& lane = lane_of(model, s);
  Chain& chain = s.drafts->chain;
  std::span<const Token> context = chain.tokens;
  if (model.bridge) {
    if (!lane.translation) lane.translation.emplace(*model.bridge);
    if (lane.translated < s.tokens.size()) lane.translation->learn(std::span(s.tokens).subspan(lane.translated));
    lane.translated = size_of(s.tokens);
    context = lane.translation->context();
  }
  // The draw needs the logits of the last token, so that one is computed again where a step ended without verification.
  std::uint32_t valid = std::min(lane.kv, context.empty() ? 0 : size_of(context) - 1);
  if (model.bridge) valid = std::min(valid, common_prefix(lane.previous, context));
  if (valid < lane.indexed) {
    lane.close_until(0);  // pages that others may read would be written again
  } else if (valid < lane.kv) {
    lane.trim(valid);
  }
  const DecoderSpec& spec = model.slot.model->spec();
  const std::uint64_t need = context.size() + chain.plan.tokens - 1;
  const auto foreign = [&](Token t) { return static_cast<std::uint32_t>(t) >= spec.vocab; };
  if (context.empty() || need > spec.context || std::any_of(context.begin() + lane.kv, context.end(), foreign)) {
    lane.close_until(~std::uint64_t{0});
    return false;
  }
  const auto room = [&] { return lane.grow(*host_.store, need); };
  const bool opened =
      lane.pages ? room() : lane.adopt(*host_.store, model.slot.id, s.prefix(model.slot.tokenizer), context, room);
  if (!opened) lane.close_until(step + pause_steps);
  return opened;
}

void DraftModelPass::draft(DraftModelSlot& model, std::span<const Order> orders, std::uint64_t step) {
  std::vector<Row> rows;
  try {
    std::uint32_t left = kept_share();
    for (Sequence* s : orders) {
      if (!prepare(model, *s, step)) continue;
      Row& row = rows.emplace_back(row_of(model, *s));
      row.kept = row.kept && row.s->drafts->chain.plan.tokens <= left;
      if (row.kept) left -= row.s->drafts->chain.plan.tokens;
    }
    Ticket last{};
    while (std::any_of(rows.begin(), rows.end(), [](const Row& r) { return !r.done; })) last = forward(model, rows);
    for (Row& row : rows) {
      if (row.bridged) cross(model, row);
      // Many that catch up can make so many passes that the first draws are soon forgotten.
      Chain& chain = row.s->drafts->chain;
      if (!chain.kept.empty() && last.value - chain.kept.front().ticket.value >= ticket_memory / 2) chain.cut(0);
    }
  } catch (...) {
    for (Sequence* s : orders) {
      lane_of(model, *s).close_until(step + pause_steps);
      s->drafts->chain.cut(0);
      s->drafts->chain.q.clear(), s->drafts->chain.kept.clear();
    }
    throw;
  }
}

// Where draws are made on a device, the rows of logits need not leave it. A ticket is remembered for so many passes only,
// half of them for this model's drafts: those of other models may come before the verification.
bool DraftModelPass::backend_keeps(const DraftModelSlot& model, std::uint32_t drafts) const {
  if (model.bridge != nullptr || model.slot.model->spec().vocab != model.target->model->spec().vocab) return false;
  return drafts * host_.options->draft_models.size() < ticket_memory / 2 && traits_.device_draws;
}

// Distributions that this model's drafts may have at the backend in a step; other models' may come before they are judged.
std::uint32_t DraftModelPass::kept_share() const {
  const auto models = static_cast<std::uint32_t>(host_.options->draft_models.size());
  return traits_.kept_distributions ? *traits_.kept_distributions / models : ~0U;
}

DraftModelPass::Row DraftModelPass::row_of(const DraftModelSlot& model, Sequence& s) const {
  const bool random = draws_at_random(model, s), likeliest = shows_distribution(s);
  Row row{&s, &lane_of(model, s), model.bridge != nullptr, random || likeliest, likeliest};
  row.kept = random && backend_keeps(model, s.drafts->chain.plan.tokens);
  if (row.bridged) row.own = row.lane->translation->context();
  if (row.weighed) row.sampling = row.bridged ? without_tokens(s.request.sampling) : s.request.sampling;
  if (row.likeliest)
    row.sampling.temperature = 1, row.sampling.top_k = 0, row.sampling.top_p = 1, row.sampling.min_p = 0;
  row.context = size_of(row.tokens());
  return row;
}

// The drafts in the target's own tokens: one for one where they were drawn from what both vocabularies have, else
// through their text.
void DraftModelPass::cross(const DraftModelSlot& model, Row& row) const {
  Chain& chain = row.s->drafts->chain;
  const std::span<const Token> drafted = std::span(row.own).subspan(row.context);
  if (row.weighed) {
    for (const Token t : drafted) chain.tokens.push_back(model.bridge->to_target(t));
  } else if (!drafted.empty()) {
    row.lane->translation->to_target(drafted, chain.tokens);
  }
  chain.cut(chain.plan.tokens);
  row.lane->previous = std::move(row.own);
}

// The newest token of each, and what was not yet seen, in chunks as a prompt would be.
std::vector<DraftModelPass::Row*> DraftModelPass::plan(std::vector<Row>& all) const {
  std::uint32_t left = host_.options->step_tokens;
  std::vector<Row*> rows;
  for (Row& row : all) {
    const std::uint32_t missing = size_of(row.tokens()) - row.lane->kv;
    row.rows = row.done ? 0 : std::min({missing, host_.options->prefill_chunk, left});
    row.draws = row.rows == missing;
    if (row.rows == 0) continue;
    left -= row.rows;
    rows.push_back(&row);
  }
  return rows;
}

Segment DraftModelPass::segment_of(const DraftModelSlot& model, Row& row) const {
  static const Sampling greedy{};
  Segment segment;
  segment.tokens = std::span(row.tokens()).subspan(row.lane->kv, row.rows);
  segment.start = row.lane->kv;
  segment.pages = row.lane->pages->pages();
  segment.slot = *row.s->seat;
  if (!row.bridged)
    segment.prompt = std::min(row.rows, row.s->prompt_tokens - std::min(row.s->prompt_tokens, segment.start));
  if (!row.draws) return segment;
  const Sequence& s = *row.s;
  row.spec = {};
  row.spec.tokens = model.slot.model->tokens();
  row.spec.seed = s.seed;
  row.spec.position = size_of(s.tokens) + row.drafted();
  if (row.bridged) {
    row.spec.sampling = row.weighed ? &row.sampling : &greedy;
    if (row.weighed) row.spec.mask = model.bridge->shared();
  } else {
    row.spec.sampling = row.weighed ? &row.sampling : &s.request.sampling;
    row.spec.prompt = s.prompt();
    row.spec.output = std::span(row.tokens()).subspan(s.prompt_tokens);
    if (s.constraint) row.spec.mask = s.constraint->mask(row.drafted());
  }
  row.spec.keep_distribution = row.kept;
  if (row.kept) row.spec.purpose = DrawPurpose::draft;
  if (row.weighed && !row.kept) {
    row.logits.resize(model.slot.model->spec().vocab);
    segment.logits = row.logits;
  } else {
    segment.draws = std::span(&row.spec, 1);
  }
  return segment;
}

// So many drafts of all rows in one go, where the backend takes them and all rows draw and have that many to come.
std::uint32_t DraftModelPass::steps_of(const std::vector<Row*>& rows) const {
  if (rows.size() > traits_.draft_rounds) return 1;
  std::uint32_t steps = ~0U;
  for (Row* row : rows) {
    if (!row->draws || row->rows > 2 || !row->may_chain()) return 1;
    steps = std::min(steps, row->s->drafts->chain.plan.tokens - row->drafted());
  }
  return steps;
}

Ticket DraftModelPass::forward(DraftModelSlot& model, std::vector<Row>& all) {
  const std::vector<Row*> rows = plan(all);
  if (rows.empty()) throw Error(Errc::internal, "draft model " + model.slot.name + " has orders and no rows");
  std::vector<Segment> segments;
  std::size_t draws = 0;
  std::uint32_t total = 0;
  for (Row* row : rows) {
    segments.push_back(segment_of(model, *row));
    draws += segments.back().draws.size();
    total += row->rows;
  }
  const std::uint32_t steps = steps_of(rows), many = static_cast<std::uint32_t>(rows.size());
  std::vector<TokenScore> drawn(draws * steps);
  const Batch batch{model.slot.id, segments, drawn};
  Backend& backend = host_.store->backend;
  const TimePoint before = host_.clock->now();
  const PassDone pass =
      wait_for(backend, host_.options->log, steps > 1 ? backend.draft({batch, steps}) : backend.submit(batch));
  const Duration took = pass.report.device_time.value_or(host_.clock->now() - before);
  for (std::uint32_t k = 0; k < steps; ++k) measure(model, {many, k == 0 ? total : many}, took / steps);
  total += (steps - 1) * many;
  if (host_.options->observer) host_.options->observer->on_draft_pass(model.slot.id, total, took);

  std::size_t next = 0;
  for (Row* row : rows) {
    row->lane->kv += row->rows;
    row->steps = steps, row->rows += steps - 1;
    account(*row, took, total);
    if (!row->draws) {
      row->done = true;  // goes on catching up in the next step
      continue;
    }
    if (row->drafted() == 0 && row->lane->indexed < row->s->prompt_tokens) {
      if (row->bridged) row->lane->previous = row->own;
      offer(model, *row->s);
    }
    if (row->weighed && !row->kept)
      take(model, *row, draw_weighed(model, *row));
    else
      take(model, *row, Draws{pass.ticket, drawn, next++, draws});
  }
  return pass.ticket;
}

void DraftModelPass::measure(DraftModelSlot& model, PassSize size, Duration took) const {
  const double seconds = std::chrono::duration<double>(took).count();
  if (size.rows <= 2 * size.segments) {
    if (host_.observe) host_.observe({model.slot.id, true, model.drafter, size.segments, size.rows, seconds});
    return;
  }
  model.slot.costs.observe({.prompt = size.rows}, seconds);
}

// All but the row that draws is catching up.
void DraftModelPass::account(Row& row, Duration took, std::uint32_t total) const {
  const std::uint32_t late = row.rows - (row.draws ? row.steps : 0);
  const Duration catching_up = took * late / row.rows;
  row.s->account.catching_up(late, catching_up);
  row.s->account.drafting(took - catching_up);
  row.s->drafts->chain.draft_seconds += std::chrono::duration<double>(took).count() * row.rows / total;
}

// Draws from the draft's own distribution and keeps it, in the target's tokens, for verification.
Token DraftModelPass::draw_weighed(const DraftModelSlot& model, Row& row) const {
  const std::uint32_t target_vocab = model.target->model->spec().vocab;
  const std::span<const float> logits = row.logits;
  const std::size_t known = row.bridged ? logits.size() : std::min<std::size_t>(logits.size(), target_vocab);
  std::vector<float> q = draw_distribution(logits.first(known), row.spec);
  const double u = counter_uniform(row.spec.seed, row.spec.position, static_cast<std::uint32_t>(DrawPurpose::draft));
  const Token token = row.likeliest ? likeliest(q) : sample(q, u);
  if (token < 0) return token;
  if (!row.bridged) {
    q.resize(target_vocab, 0.0F);
    row.s->drafts->chain.q.push_back(std::move(q));
    return token;
  }
  std::vector<float> crossed(target_vocab, 0.0F);
  for (std::size_t t = 0; t < q.size(); ++t)
    if (q[t] > 0.0F) crossed[static_cast<std::size_t>(model.bridge->to_target(static_cast<Token>(t)))] += q[t];
  row.s->drafts->chain.q.push_back(std::move(crossed));
  return token;
}

// A token that the target does not have or that the answer may not go on with, an end, or a row without a finite logit
// ends the run.
void DraftModelPass::take(const DraftModelSlot& model, Row& row, Token token) const {
  row.done = token < 0 || (!row.bridged && static_cast<std::uint32_t>(token) >= model.target->model->tokens());
  if (!row.done && !row.bridged && row.s->constraint) row.done = !row.s->constraint->follow(token);
  if (row.done) {
    if (row.weighed && !row.kept)
      row.s->drafts->chain.q.resize(row.bridged ? row.drafted() : row.s->drafts->chain.size());
    return;
  }
  row.tokens().push_back(token);
  if (row.kept) row.s->drafts->chain.kept.push_back(row.drawn);
  const Tokenizer* tokenizer = model.slot.model->tokenizer();
  row.done = row.drafted() >= row.s->drafts->chain.plan.tokens || (tokenizer != nullptr && tokenizer->is_end(token));
}

// Each draw but the last was fed to the model.
void DraftModelPass::take(const DraftModelSlot& model, Row& row, const Draws& draws) const {
  for (std::size_t at = draws.first; at < draws.drawn.size() && !row.done; at += draws.stride) {
    if (at != draws.first) ++row.lane->kv;
    row.drawn = {draws.ticket, static_cast<std::uint32_t>(at)};
    take(model, row, draws.drawn[at].token);
  }
}

void DraftModelPass::trim(DraftModelSlot& model, Sequence& s, std::uint32_t valid) const {
  if (!model.bridge) lane_of(model, s).trim(valid);  // another vocabulary's are compared when they are needed
}

void DraftModelPass::offer(DraftModelSlot& model, Sequence& s) const {
  DraftLane& lane = lane_of(model, s);
  if (!lane.pages) return;
  std::span<const Token> context = s.tokens;
  std::uint32_t valid = std::min(lane.kv, size_of(context));
  if (model.bridge) {
    context = lane.translation->context();
    valid = std::min(lane.kv, common_prefix(lane.previous, context));
  }
  if (!lane.has_news(*host_.store, valid)) return;
  lane.offer(*host_.store, s.prefix(model.slot.tokenizer), context.first(valid), model.slot.costs.prompt_token());
}

void DraftModelPass::check_integrity(const DraftModelSlot& model, const Sequence& s) const {
  const DraftLane& lane = s.drafts->lanes[model.lane];
  if (!lane.pages) return;
  if (lane.pages->tokens() < lane.kv)
    throw Error(Errc::internal, "a draft model has fewer pages than tokens of sequence " + std::to_string(s.id.value));
  if (!model.bridge && lane.kv > s.tokens.size())
    throw Error(Errc::internal, "a draft model keeps rejected tokens of sequence " + std::to_string(s.id.value));
}

}  // namespace frugal

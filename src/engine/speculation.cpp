#include "engine/speculation.hpp"

#include <frugal/backend/batch.hpp>
#include <frugal/core/error.hpp>
#include <frugal/draft/drafters.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "core/caught.hpp"
#include "engine/run_pass.hpp"
#include "engine/say.hpp"
#include "engine/views.hpp"

namespace frugal {
namespace {

constexpr Duration trial_limit = std::chrono::milliseconds(500);  // of one model at start-up

double seconds_of(Duration d) { return std::chrono::duration<double>(d).count(); }

/// What a policy or drafter throws becomes Error(policy) with its name.
template <class F>
decltype(auto) named(const char* kind, std::string_view name, F f) {
  try {
    return f();
  } catch (...) {
    throw Error(Errc::policy, std::string(kind) + " " + std::string(name) + ": " + caught_text());
  }
}

}  // namespace

Speculation::Speculation(const EngineOptions& options, const Clock& clock,
                         std::vector<std::unique_ptr<DraftModelSlot>> models, DraftModelPass::Host host)
    : options_(options),
      clock_(clock),
      store_(*host.store),
      policy_(*options.speculation),
      models_(std::move(models)),
      pass_([&] {
        host.observe = [this](const PassCost& cost) { observe(cost); };
        return std::move(host);
      }()) {
  drafters_.push_back(text_drafter());
  drafters_.insert(drafters_.end(), options.drafters.begin(), options.drafters.end());
  for (std::size_t i = 0; i < models_.size(); ++i) {
    models_[i]->lane = static_cast<std::uint32_t>(i);
    models_[i]->drafter = index_of_model(i);
  }
}

bool Speculation::drafts_for(const Sequence& s) const {
  if (s.request.max_draft == 0U) return false;
  if (!options_.drafters.empty() || !s.draft_text.empty()) return true;
  return std::any_of(models_.begin(), models_.end(), [&](const auto& m) { return m->target == s.slot; });
}

void Speculation::open(Sequence& s) const {
  if (s.drafts) return;
  auto drafts = std::make_unique<Drafts>();
  drafts->drafters.resize(drafters_.size());
  drafts->lanes.resize(models_.size());
  s.drafts = std::move(drafts);
}

Drafting* Speculation::drafting(Sequence& s, std::uint32_t index) const {
  OpenDrafter& open = s.drafts->drafters[index];
  if (!open.asked) {
    open.asked = true;
    open.drafting = drafters_[index]->open(request_view(s, clock_.now()));
  }
  return open.drafting.get();
}

// By priority: the request's own draft, the host's drafters, the draft models of this target.
void Speculation::list_at_hand(Sequence& s, std::uint32_t from) {
  at_hand_.clear();
  for (std::uint32_t i = from; i < drafters_.size(); ++i) {
    if (drafters_[i]->forced() || (i == 0 && s.draft_text.empty())) continue;
    if (named("drafter", drafters_[i]->name(), [&] { return drafting(s, i); }) != nullptr)
      at_hand_.push_back({i, drafters_[i]->name(), false});
  }
  for (const auto& m : models_)
    if (m->target == s.slot && m->drafter >= from && s.drafts->lanes[m->lane].closed_until <= step_)
      at_hand_.push_back({m->drafter, m->slot.name, true});
}

// What is no token of the target ends the run.
bool Speculation::propose(Sequence& s, std::uint32_t index, std::uint32_t most) {
  Drafting* const at_work = drafting(s, index);
  if (at_work == nullptr) return false;
  OpenDrafter& open = s.drafts->drafters[index];
  Chain& chain = s.drafts->chain;
  if (open.learned < s.tokens.size()) at_work->learn(std::span<const Token>(s.tokens).subspan(open.learned));
  open.learned = static_cast<std::uint32_t>(s.tokens.size());
  proposed_.clear();
  at_work->propose(most, proposed_);
  const std::uint32_t known = s.slot->model->tokens();
  for (const Token t : std::span<const Token>(proposed_).first(std::min<std::size_t>(proposed_.size(), most))) {
    if (static_cast<std::uint32_t>(t) >= known) break;
    chain.tokens.push_back(t);
  }
  return chain.size() > 0;
}

bool Speculation::propose_forced(Sequence& s, std::uint32_t most) {
  for (std::uint32_t i = 0; i < drafters_.size(); ++i) {
    if (!drafters_[i]->forced()) continue;
    s.drafts->chain.begin({i, most}, s.tokens);
    s.drafts->chain.forced = true;
    if (named("drafter", drafters_[i]->name(), [&] { return propose(s, i, most); })) return true;
  }
  return false;
}

void Speculation::ask(Sequence& s, Room room) {
  if (s.drafts) s.drafts->chain.clear();
  if (!drafts_for(s)) return;
  const std::uint32_t budget = s.budget - s.output_tokens();  // a run ends in one more token than was drafted
  const std::uint32_t most = std::min({room.rows, budget - 1, s.request.max_draft.value_or(~0U)});
  if (most == 0) return;
  open(s);
  if (propose_forced(s, most)) return;
  for (std::uint32_t from = 0;;) {
    list_at_hand(s, from);
    if (at_hand_.empty()) break;
    std::uint32_t behind = 0;
    for (const auto& m : models_)
      if (m->target == s.slot && m->drafter >= from) behind = std::max(behind, pass_.behind(*m, s));
    const RequestView request = request_view(s, clock_.now());
    DraftPlan plan = named("speculation policy", policy_.name(), [&] {
      return policy_.propose(sequence_view(s, request),
                             {at_hand_, most, room.decode_rows, room.draft_rows, s.slot->id, behind});
    });
    plan.tokens = std::min(plan.tokens, most);
    const bool known = std::any_of(at_hand_.begin(), at_hand_.end(),
                                   [&](const DrafterView& view) { return view.index == plan.drafter; });
    if (plan.tokens == 0 || !known) break;
    s.drafts->chain.begin(plan, s.tokens);
    if (plan.drafter >= drafters_.size()) return;  // an order for a draft model
    const TimePoint before = clock_.now();
    const bool any =
        named("drafter", drafters_[plan.drafter]->name(), [&] { return propose(s, plan.drafter, plan.tokens); });
    const Duration took = clock_.now() - before;
    s.account.drafting(took);
    s.drafts->chain.draft_seconds = seconds_of(took);
    if (any) return;
    from = plan.drafter + 1;
  }
  s.drafts->chain.clear();
}

void Speculation::run_models(std::span<const std::shared_ptr<Sequence>> sequences) {
  for (const auto& model : models_) {
    std::vector<Sequence*> orders;
    for (const auto& s : sequences)
      if (s->drafts && s->drafts->chain.plan.drafter == model->drafter && s->drafts->chain.ordered())
        orders.push_back(s.get());
    if (orders.empty()) continue;
    try {
      pass_.draft(*model, orders, step_);
    } catch (...) {
      if (caught_error(Errc::internal, {}).code() == Errc::device) throw;
      say(options_.log, LogLevel::warning, {},
          [&] { return "draft model " + model->slot.name + " failed: " + caught_text(); });
    }
  }
}

DraftOutcome Speculation::verified(Sequence& s, Duration took, std::uint32_t agreed) {
  Drafts& drafts = *s.drafts;
  const std::uint32_t n = drafts.chain.size();
  for (const auto& model : models_)
    if (model->target == s.slot) pass_.trim(*model, s, drafts.chain.committed + agreed);
  return {drafts.chain.plan, n, agreed, drafts.chain.draft_seconds, seconds_of(took)};
}

void Speculation::settle(Sequence& s, const DraftOutcome& outcome) {
  s.drafts->chain.clear();
  if (s.drafts->chain.forced) return;
  const RequestView request = request_view(s, clock_.now());
  named("speculation policy", policy_.name(), [&] { policy_.learn(sequence_view(s, request), outcome); });
}

void Speculation::drop(Sequence& s) const {
  s.drafts->chain.clear();
  for (const auto& model : models_)
    if (model->target == s.slot) pass_.trim(*model, s, static_cast<std::uint32_t>(s.tokens.size()));
}

bool Speculation::release_pages(std::span<const std::shared_ptr<Sequence>> running) {
  for (auto r = running.rbegin(); r != running.rend(); ++r) {
    if (!(*r)->drafts) continue;
    for (const auto& model : models_) {
      DraftLane& lane = (*r)->drafts->lanes[model->lane];
      if (!lane.pages) continue;
      pass_.offer(*model, **r);
      lane.close_until(step_ + pause_steps);
      return true;
    }
  }
  return false;
}

void Speculation::leave(Sequence& s) {
  if (!s.drafts) return;
  s.drafts->chain.clear();
  for (const auto& model : models_) {
    pass_.offer(*model, s);
    s.drafts->lanes[model->lane].close_until(0);
  }
}

void Speculation::abandon(Sequence& s) {
  if (!s.drafts) return;
  s.drafts->chain.clear();
  for (DraftLane& lane : s.drafts->lanes) lane.close_until(0);
}

void Speculation::finished(const Sequence& s, FinishReason reason) const {
  const bool well = reason == FinishReason::stop || reason == FinishReason::length || reason == FinishReason::capped;
  const RequestView request = request_view(s, clock_.now());
  const Drafter* who = nullptr;  // null = the policy
  try {
    policy_.finished(s.id);
    if (!well || s.request.max_draft == 0U) return;
    for (const auto& drafter : drafters_) {
      who = drafter.get();
      drafter->finished(sequence_view(s, request));
    }
  } catch (...) {  // the answer has been given: nothing to take back
    say(options_.log, LogLevel::warning, s.id, [&] {
      const std::string name(who != nullptr ? who->name() : policy_.name());
      return (who != nullptr ? "drafter " : "speculation policy ") + name + ", on a finished answer: " + caught_text();
    });
  }
}

void Speculation::observe(const PassCost& pass) const {
  try {
    policy_.observe(pass);
  } catch (...) {
    say(options_.log, LogLevel::warning, {},
        [&] { return "speculation policy " + std::string(policy_.name()) + ", on a pass: " + caught_text(); });
  }
}

// Three times each, the fastest counts: the first one warms caches, and any may be disturbed.
void Speculation::trial(const ModelSlot& slot, std::uint32_t rows, PassCost cost) {
  PageTable pages(store_.arena, slot.id);
  if (!pages.grow_to(rows)) return;
  static const Sampling greedy{};
  const std::vector<Token> tokens(rows, 0);
  std::vector<DrawSpec> draws(rows);
  for (DrawSpec& draw : draws) draw.sampling = &greedy;
  std::vector<TokenScore> drawn(rows);
  Segment segment;
  segment.tokens = tokens;
  segment.pages = pages.pages();
  segment.draws = draws;
  Duration took = Duration::max();
  for (int i = 0; i < 3; ++i) {
    const TimePoint before = clock_.now();
    const PassReport pass = run_pass(*options_.backend, options_.log, {slot.id, std::span(&segment, 1), drawn}).report;
    took = std::min<Duration>(took, pass.device_time.value_or(clock_.now() - before));
  }
  cost.model = slot.id;
  cost.segments = 1;
  cost.rows = rows;
  cost.seconds = seconds_of(took);
  observe(cost);
}

void Speculation::run_trials(std::span<const std::unique_ptr<ModelSlot>> targets) {
  const std::uint32_t most = options_.step_tokens;
  std::vector<std::uint32_t> widths = options_.backend->traits().widths;
  if (widths.empty()) widths = {1, 2, 3, 5, 8, 9, 16, 17};  // kernels' tiles end at 8 and 16
  for (const auto& target : targets) {
    const TimePoint start = clock_.now();
    for (const std::uint32_t rows : widths) {
      if (rows > most || rows > target->model->spec().context || clock_.now() - start > trial_limit) break;
      trial(*target, rows, {});
    }
  }
  for (const auto& model : models_) trial(model->slot, 1, {.draft = true, .drafter = model->drafter});
}

void Speculation::check_integrity(const Sequence& s) const {
  if (!s.drafts) return;
  if (s.drafts->chain.size() != 0) throw Error(Errc::internal, "drafts outlive their step");
  for (const auto& model : models_) pass_.check_integrity(*model, s);
}

}  // namespace frugal

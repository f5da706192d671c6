// The length g of a draft that gives the most tokens a second. With B rows that decode, R drafts planned before and A
// of those expected to stand, a step with g more gives B + A + (E(g) - 1) tokens in D + g c + v(B + R + g) seconds,
// where E(g) = 1 + a1 + a1 a2 + ... ; for one sequence alone E(g) / (g c + v(g + 1)) (the goodput of Liu et al. 2024,
// "Optimizing speculative decoding for serving large language models using goodput").
#include <frugal/core/error.hpp>
#include <frugal/policy/speculation.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>

#include "policy/acceptance.hpp"
#include "policy/pass_times.hpp"

namespace frugal {
namespace {

constexpr double first_guess = 0.7;    // before anything was drafted: worth a try
constexpr double first_weight = 2;     // of it, in trials
constexpr double shared_weight = 3;    // of what sequences share, for one of them
constexpr double shared_memory = 300;  // trials
constexpr double sequence_memory = 40;
constexpr double cost_share = 0.05;  // of a new measurement of what a drafter's token costs

class AdaptiveDrafts final : public SpeculationPolicy {
 public:
  explicit AdaptiveDrafts(const AdaptiveDraftsOptions& options) : options_(options) {}
  std::string_view name() const override { return "adaptive_drafts"; }
  DraftPlan propose(const SequenceView& sequence, const DraftRoom& room) override;
  void learn(const SequenceView& sequence, const DraftOutcome& outcome) override;
  void observe(const PassCost& pass) override;
  void finished(RequestId request) override { sequences_.erase(request); }

 private:
  /// What is known of a drafter over all sequences.
  struct Shared {
    Acceptance acceptance{shared_memory};
    PassTimes passes{};            ///< of a draft model, by sequences
    double seconds_per_token = 0;  ///< of one that runs no model
    double drafted = 0, accepted = 0;
  };
  /// One sequence's drafts by one drafter.
  struct Own {
    Acceptance acceptance{sequence_memory};
    std::uint32_t length = 0;  ///< the newest plan
  };
  struct Choice {
    std::uint32_t tokens = 0;
    double goodput = 0;
  };
  /// A step as one sequence sees it.
  struct Step {
    const PassTimes& passes;
    double others, rows;  ///< tokens it gives besides this sequence's, rows it has already
    double plain;         ///< goodput without a draft here
  };

  Step step_of(const DraftRoom& room);
  Choice best_of(const Step& step, const DraftRoom& room, const DrafterView& view, Own& own, std::uint32_t remaining);
  double cost_of(const Shared& shared, const DraftRoom& room, bool model, std::uint32_t tokens, double answer_share);
  bool may_try(const Step& step, const Choice& choice);

  AdaptiveDraftsOptions options_;
  std::map<ModelId, PassTimes> targets_;
  std::unordered_map<std::uint32_t, Shared> drafters_;
  std::unordered_map<RequestId, std::unordered_map<std::uint32_t, Own>> sequences_;
  double seconds_ = 0;  ///< of decoding
  double tried_ = 0;    ///< of those, what trying is thought to have cost
};

AdaptiveDrafts::Step AdaptiveDrafts::step_of(const DraftRoom& room) {
  double drafted = 0, accepted = 0;
  for (const auto& [index, shared] : drafters_) drafted += shared.drafted, accepted += shared.accepted;
  const double standing = drafted > 0 ? accepted / drafted : first_guess;
  const PassTimes& passes = targets_[room.model];
  const std::uint32_t rows = std::max(1U, room.decode_rows) + room.draft_rows;
  Step step{passes, std::max(1U, room.decode_rows) - 1 + standing * room.draft_rows, static_cast<double>(rows), 0};
  step.plain = (step.others + 1) / std::max(passes.seconds(rows), 1e-12);
  return step;
}

// A draft model's pass serves all sequences that draft; what it has yet to read serves the rest of the answer.
double AdaptiveDrafts::cost_of(const Shared& shared, const DraftRoom& room, bool model, std::uint32_t tokens,
                               double answer_share) {
  if (!model) return tokens * shared.seconds_per_token;
  const std::uint32_t sequences = std::max(1U, room.decode_rows);
  const double pass = shared.passes.seconds(sequences), late = std::max(1U, room.catch_up) - 1;
  return tokens * pass / sequences + late * pass / 4 * answer_share;  // prompt rows cost about a quarter of a pass each
}

AdaptiveDrafts::Choice AdaptiveDrafts::best_of(const Step& step, const DraftRoom& room, const DrafterView& view,
                                               Own& own, std::uint32_t remaining) {
  const Shared& shared = drafters_[view.index];
  Choice best, present;
  double expected = 1, standing = 1, shared_before = first_guess, own_before = first_guess;
  for (std::uint32_t g = 1; g <= std::min(room.most_tokens, options_.most_tokens); ++g) {
    // A place that was never tried is as good as the one before it.
    shared_before = shared.acceptance.at(g - 1, shared_before, first_weight);
    const double prior = (shared_before + own_before) / 2;
    own_before = own.acceptance.at(g - 1, g == 1 ? shared_before : prior, shared_weight);
    standing *= own_before;
    expected += standing;
    const double share = expected / std::max<double>(expected, remaining);
    const double seconds =
        step.passes.seconds(static_cast<std::uint32_t>(step.rows) + g) + cost_of(shared, room, view.model, g, share);
    const Choice choice{g, (step.others + expected) / std::max(seconds, 1e-12)};
    if (choice.goodput > best.goodput) best = choice;
    if (g == own.length) present = choice;
  }
  return present.goodput * (1 + options_.hysteresis) >= best.goodput ? present : best;
}

// What does not seem to pay is tried again as often as its loss stays within the share of all time.
bool AdaptiveDrafts::may_try(const Step& step, const Choice& choice) {
  if (choice.tokens == 0) return false;
  const double seconds = step.passes.seconds(static_cast<std::uint32_t>(step.rows) + choice.tokens);
  const double loss = seconds * std::max(0.0, 1 - choice.goodput / step.plain);
  if (tried_ + loss > options_.probe_share * seconds_) return false;
  tried_ += loss;
  return true;
}

DraftPlan AdaptiveDrafts::propose(const SequenceView& sequence, const DraftRoom& room) {
  if (targets_[room.model].empty()) return {};  // a plain pass first
  const Step step = step_of(room);
  auto& own = sequences_[sequence.request.id];
  const std::uint32_t used = static_cast<std::uint32_t>(sequence.output.size());
  const std::uint32_t remaining = sequence.budget > used ? sequence.budget - used : 1;
  DraftPlan plan{room.drafters.front().index, 0};
  Choice best, hope;
  std::uint32_t hoped = plan.drafter;
  for (const DrafterView& view : room.drafters) {
    const Choice choice = best_of(step, room, view, own[view.index], remaining);
    if (choice.goodput > hope.goodput) hope = choice, hoped = view.index;
    // An earlier drafter keeps its turn unless a later one is clearly better.
    const double bar = best.tokens > 0 ? best.goodput * (1 + options_.hysteresis) : step.plain;
    if (choice.tokens > 0 && choice.goodput > bar) best = choice, plan = {view.index, choice.tokens};
  }
  if (plan.tokens == 0 && may_try(step, hope)) plan = {hoped, hope.tokens};
  own[plan.drafter].length = plan.tokens;
  return plan;
}

void AdaptiveDrafts::learn(const SequenceView& sequence, const DraftOutcome& outcome) {
  if (outcome.drafted == 0) return;
  Shared& shared = drafters_[outcome.plan.drafter];
  shared.acceptance.learn(outcome.drafted, outcome.accepted);
  shared.drafted = shared.drafted * (1 - 1 / shared_memory) + outcome.drafted;
  shared.accepted = shared.accepted * (1 - 1 / shared_memory) + outcome.accepted;
  const double cost = outcome.draft_seconds / outcome.drafted;
  double& mean = shared.seconds_per_token;
  mean = mean == 0 ? cost : mean + cost_share * (cost - mean);
  sequences_[sequence.request.id][outcome.plan.drafter].acceptance.learn(outcome.drafted, outcome.accepted);
}

void AdaptiveDrafts::observe(const PassCost& pass) {
  if (pass.draft) return drafters_[pass.drafter].passes.observe(pass.segments, pass.seconds);
  targets_[pass.model].observe(pass.rows, pass.seconds);
  seconds_ += pass.seconds;
}

}  // namespace

std::shared_ptr<SpeculationPolicy> adaptive_drafts(AdaptiveDraftsOptions options) {
  const auto need = [](bool good, const char* what) {
    if (!good) throw Error(Errc::invalid_argument, std::string("adaptive_drafts: ") + what);
  };
  const auto share = [](double x) { return x >= 0 && x < 1; };  // false for NaN
  need(options.most_tokens > 0, "most_tokens is 0; leave the policy out instead");
  need(share(options.probe_share), "probe_share is not in [0, 1)");
  need(share(options.hysteresis), "hysteresis is not in [0, 1)");
  return std::make_shared<AdaptiveDrafts>(options);
}

}  // namespace frugal

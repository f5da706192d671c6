// The length g of a draft that gives the most tokens a second. One sequence alone: argmax of E(g) / (g c + v(1 + g)),
// where E(g) = 1 + a1 + a1 a2 + ... is the expected number of tokens, c what a draft costs and v what a pass of so many
// rows takes (the goodput of Liu et al. 2024, "Optimizing speculative decoding for serving large language models using
// goodput"). Several: the same argmax over all their drafts at once, which a market of rows finds.
#include <frugal/core/error.hpp>
#include <frugal/policy/speculation.hpp>

#include <algorithm>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/acceptance.hpp"
#include "policy/pass_times.hpp"
#include "policy/row_market.hpp"

namespace frugal {
namespace {

constexpr double first_guess = 0.7;    // before anything was drafted: worth a try
constexpr double first_weight = 2;     // of it, in trials
constexpr double shared_weight = 6;    // of what sequences share, for one of them
constexpr double shared_memory = 300;  // trials
constexpr double sequence_memory = 40;
constexpr double speaks_share = 0.1;
constexpr std::uint32_t crowd_try = 2;  // drafts tried among several
constexpr double cost_share = 0.05;     // of a new measurement of what a drafter's token costs

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
  };
  /// One sequence's drafts by one drafter.
  struct Own {
    Acceptance acceptance{sequence_memory};
    std::uint32_t length = 0;  ///< the newest plan
    double speaks = 1;         ///< how often it had an idea when it was asked
    bool waiting = false;      ///< asked, and nothing learned since
  };
  /// What a drafter offers for one sequence.
  struct Run {
    std::vector<double> standing{};  ///< [most]: probability that the draft at this place and all before it stand
    double seconds = 0;              ///< a draft beside its row
    double late = 0;                 ///< once, for what a draft model has yet to read
    double lonely = 0;               ///< a draft where no other sequence drafts: the whole pass of a draft model
    double tokens(std::uint32_t g) const { return std::accumulate(standing.begin(), standing.begin() + g, 0.0); }
    double cost(std::uint32_t g) const { return g == 0 ? 0 : late + g * seconds; }
  };
  struct Choice {
    std::uint32_t tokens = 0;
    double worth = 0;  ///< tokens a second alone, tokens among several
  };
  struct Target {
    PassTimes passes{};
    RowMarket market{};
    RequestId first{};  ///< asked in this step
    std::uint32_t front = 0;
  };

  /// One drafter's run, and how much of it is best.
  struct Offer {
    std::uint32_t drafter = 0;
    Own* own = nullptr;
    Run run{};
    Choice choice{};
  };

  void open_step(Target& target, const SequenceView& sequence, const DraftRoom& room);
  void collect_offers(const Target& target, const SequenceView& sequence, const DraftRoom& room);
  const Offer* best_offer(double plain) const;
  const Offer& likeliest_offer() const;
  Run run_of(const DraftRoom& room, const DrafterView& view, const Own& own, std::uint32_t remaining) const;
  Choice best_alone(const Target& target, const Run& run, std::uint32_t present) const;
  Choice best_among(const Target& target, const Run& run) const;
  bool may_try(const Target& target, const DraftRoom& room, const Run& run, std::uint32_t tokens);

  AdaptiveDraftsOptions options_;
  std::map<ModelId, Target> targets_;
  std::unordered_map<std::uint32_t, Shared> drafters_;
  std::unordered_map<RequestId, std::unordered_map<std::uint32_t, Own>> sequences_;
  std::vector<Offer> offers_;  ///< of the sequence that is asked
  double seconds_ = 0;         ///< of decoding
  double tried_ = 0;           ///< of those, what trying is thought to have cost
};

// A place that was never tried is as good as the one before it. A draft model's pass serves all sequences that draft;
// what it has yet to read serves the rest of the answer.
AdaptiveDrafts::Run AdaptiveDrafts::run_of(const DraftRoom& room, const DrafterView& view, const Own& own,
                                           std::uint32_t remaining) const {
  static const Shared unknown{};
  const auto known = drafters_.find(view.index);
  const Shared& shared = known == drafters_.end() ? unknown : known->second;
  Run run;
  double standing = 1, expected = 1, of_all = first_guess, of_own = first_guess;
  for (std::uint32_t i = 0; i < std::min(room.most_tokens, options_.most_tokens); ++i) {
    of_all = shared.acceptance.at(i, of_all, first_weight);
    of_own = own.acceptance.at(i, i == 0 ? of_all : (of_all + of_own) / 2, shared_weight);
    run.standing.push_back(standing *= of_own);
    expected += standing;
  }
  run.seconds = run.lonely = shared.seconds_per_token;
  if (view.model) {
    const std::uint32_t sequences = std::max(1U, room.decode_rows);
    const double pass = shared.passes.seconds(sequences), behind = std::max(1U, room.catch_up) - 1;
    run.seconds = pass / sequences, run.lonely = shared.passes.seconds(1);
    run.late = behind * pass / 4 * expected / std::max<double>(expected, remaining);  // a prompt row: about a quarter
  }
  return run;
}

AdaptiveDrafts::Choice AdaptiveDrafts::best_alone(const Target& target, const Run& run, std::uint32_t present) const {
  Choice best, kept;
  double tokens = 1;
  for (std::uint32_t g = 1; g <= run.standing.size(); ++g) {
    tokens += run.standing[g - 1];
    const Choice choice{g, tokens / std::max(target.passes.seconds(1 + g) + run.cost(g), 1e-12)};
    if (choice.worth > best.worth) best = choice;
    if (g == present) kept = choice;
  }
  return kept.worth * (1 + options_.hysteresis) >= best.worth ? kept : best;
}

AdaptiveDrafts::Choice AdaptiveDrafts::best_among(const Target& target, const Run& run) const {
  const std::uint32_t g = target.market.wanted(run.standing);
  return {g, run.tokens(g)};
}

// What does not seem to pay is tried again as often as its loss stays within the share of all time.
bool AdaptiveDrafts::may_try(const Target& target, const DraftRoom& room, const Run& run, std::uint32_t tokens) {
  if (tokens == 0) return false;
  const std::uint32_t sequences = std::max(1U, room.decode_rows), rows = sequences + room.draft_rows;
  const double more =
      target.passes.seconds(rows + tokens) - target.passes.seconds(rows) + run.late + tokens * run.lonely;
  const double loss = std::max(0.0, more - run.tokens(tokens) * target.passes.seconds(sequences) / sequences);
  if (tried_ + loss > options_.probe_share * seconds_) return false;
  tried_ += loss;
  return true;
}

// One run of offers for each drafter at hand, in their order.
void AdaptiveDrafts::collect_offers(const Target& target, const SequenceView& sequence, const DraftRoom& room) {
  auto& own = sequences_[sequence.request.id];
  const auto used = static_cast<std::uint32_t>(sequence.output.size());
  const std::uint32_t remaining = sequence.budget > used ? sequence.budget - used : 1;
  offers_.clear();
  for (const DrafterView& view : room.drafters) {
    Own& mine = own[view.index];
    if (std::exchange(mine.waiting, false)) mine.speaks *= 1 - speaks_share;
    Offer offer{view.index, &mine, run_of(room, view, mine, remaining)};
    offer.choice = room.decode_rows <= 1 ? best_alone(target, offer.run, mine.length) : best_among(target, offer.run);
    offers_.push_back(std::move(offer));
  }
}

// An earlier drafter keeps its turn unless a later one is clearly better. Null: none is worth more than `plain`.
const AdaptiveDrafts::Offer* AdaptiveDrafts::best_offer(double plain) const {
  const Offer* best = nullptr;
  for (const Offer& offer : offers_) {
    const double bar = best ? best->choice.worth * (1 + options_.hysteresis) : plain;
    if (offer.choice.tokens > 0 && offer.choice.worth > bar) best = &offer;
  }
  return best;
}

const AdaptiveDrafts::Offer& AdaptiveDrafts::likeliest_offer() const {
  return *std::max_element(offers_.begin(), offers_.end(),
                           [](const Offer& a, const Offer& b) { return a.run.tokens(1) < b.run.tokens(1); });
}

// The market opens with the first question of a step: none was asked yet, or the same one comes again.
void AdaptiveDrafts::open_step(Target& target, const SequenceView& sequence, const DraftRoom& room) {
  const std::uint32_t front = room.drafters.front().index;
  const bool again = target.first == sequence.request.id && target.front == front;
  if (target.first != RequestId{} && !again) return;
  target.market.open(std::max(1U, room.decode_rows), target.passes, options_.hysteresis);
  target.first = sequence.request.id, target.front = front;
}

DraftPlan AdaptiveDrafts::propose(const SequenceView& sequence, const DraftRoom& room) {
  Target& target = targets_[room.model];
  DraftPlan plan{room.drafters.front().index, 0};
  if (target.passes.empty() || room.most_tokens == 0) return plan;  // a plain pass first
  const bool alone = room.decode_rows <= 1;
  open_step(target, sequence, room);
  collect_offers(target, sequence, room);
  const Offer* const best = best_offer(alone ? 1 / target.passes.seconds(1) : 0);
  const Offer& offer = best ? *best : likeliest_offer();
  if (best) plan = {offer.drafter, offer.choice.tokens};
  if (!alone) {
    target.market.sell(std::span(offer.run.standing).first(plan.tokens));
    target.market.offer(offer.run.standing, offer.run.seconds, offer.own->speaks);
  }
  const auto most = static_cast<std::uint32_t>(offer.run.standing.size());
  const std::uint32_t trial = std::min(alone ? offer.choice.tokens : crowd_try, most);
  if (!best && may_try(target, room, offer.run, trial)) plan = {offer.drafter, trial};
  Own& own = best || plan.tokens > 0 ? *offer.own : *offers_.front().own;
  own.length = plan.tokens, own.waiting = plan.tokens > 0;
  return plan;
}

void AdaptiveDrafts::learn(const SequenceView& sequence, const DraftOutcome& outcome) {
  if (outcome.drafted == 0) return;
  Shared& shared = drafters_[outcome.plan.drafter];
  shared.acceptance.learn(outcome.drafted, outcome.accepted);
  const double cost = outcome.draft_seconds / outcome.drafted;
  double& mean = shared.seconds_per_token;
  mean = mean == 0 ? cost : mean + cost_share * (cost - mean);
  Own& own = sequences_[sequence.request.id][outcome.plan.drafter];
  own.acceptance.learn(outcome.drafted, outcome.accepted);
  own.speaks += speaks_share * (1 - own.speaks), own.waiting = false;
}

void AdaptiveDrafts::observe(const PassCost& pass) {
  if (pass.draft) return drafters_[pass.drafter].passes.observe(pass.segments, pass.seconds);
  Target& target = targets_[pass.model];
  target.passes.observe(pass.rows, pass.seconds);
  target.first = {};  // the step is over
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

#include <frugal/core/error.hpp>
#include <frugal/policy/speculation.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <limits>

#include "policy/pass_times.hpp"
#include "policy/replay.hpp"

namespace frugal {
namespace {

using testing::read_trace;
using testing::Replay;
using testing::Replayed;
using testing::Trace;

constexpr std::uint32_t kMost = 16;

/// Workloads recorded from SmolLM2 Q4_1 on two cores, and how many answers of each run at once.
struct Workload {
  std::string name;
  std::uint32_t together = 1;
};
std::vector<Workload> workloads() {
  return {{"edit"}, {"extract"}, {"quote"}, {"chat"}, {"self_draft"}, {"chat_4", 4}, {"edit_4", 4}, {"chat_16", 16}};
}

Trace trace_of(const Workload& w) {
  return read_trace(std::string(FRUGAL_TEST_DATA) + "/policy/data/" + w.name + ".txt");
}

class Plain final : public SpeculationPolicy {
 public:
  std::string_view name() const override { return "plain"; }
  DraftPlan propose(const SequenceView&, const DraftRoom&) override { return {}; }
  void learn(const SequenceView&, const DraftOutcome&) override {}
};

Replayed plain(const Trace& trace, std::uint32_t together) {
  Plain policy;
  return Replay(trace, policy, together).run();
}

struct Fixed {
  std::uint32_t tokens;
  double speed;
};
/// The best fixed draft length, 0 among them: known only afterwards.
Fixed best_fixed(const Trace& trace, std::uint32_t together) {
  Fixed best{0, plain(trace, together).speed()};
  for (std::uint32_t g = 1; g <= kMost; ++g) {
    const double speed = Replay(trace, *fixed_drafts(g), together).run().speed();
    if (speed > best.speed) best = {g, speed};
  }
  return best;
}

Replayed adaptive(const Trace& trace, std::uint32_t together, AdaptiveDraftsOptions options = {}) {
  return Replay(trace, *adaptive_drafts(options), together).run();
}

TEST_CASE("the learned draft length is within 5% of the best fixed one on every recorded workload") {
  for (const Workload& w : workloads()) {
    const Trace trace = trace_of(w);
    const Fixed best = best_fixed(trace, w.together);
    const Replayed learned = adaptive(trace, w.together);
    const double off = plain(trace, w.together).speed();
    UNSCOPED_INFO(w.name << ": best fixed length " << best.tokens << ", " << best.speed / off << "x; learned "
                         << learned.speed() / off << "x");
    CHECK(learned.speed() >= 0.95 * best.speed);
    CHECK(learned.speed() >= 0.97 * off);
  }
}

TEST_CASE("passes that take longer or shorter by chance change little") {
  for (const Workload& w : workloads()) {
    const Trace trace = trace_of(w);
    const Fixed best = best_fixed(trace, w.together);
    const double off = plain(trace, w.together).speed();
    CAPTURE(w.name, best.tokens);
    for (std::uint32_t seed = 1; seed <= 5; ++seed) {
      const double speed = Replay(trace, *adaptive_drafts(), w.together, {0.1, seed}).run().speed();
      CHECK(speed >= 0.9 * best.speed);
      CHECK(speed >= 0.97 * off);
    }
  }
}

// --- workloads made up: one thing at a time ---

/// Answers of 400 places; a draft stands with the probability given, independently of the others.
Trace made_up(double (*pass)(double rows), const std::vector<double>& chances, double draft = 1e-7) {
  Trace trace;
  for (std::uint32_t rows = 1; rows <= 600; ++rows) trace.pass[rows] = pass(rows);
  for (const std::uint32_t rows : {1U, 2U, 3U, 5U, 8U, 9U, 16U, 17U}) trace.trial[rows] = pass(rows);
  trace.draft = draft;
  std::uint64_t state = 7;
  for (const double chance : chances) {
    std::vector<Trace::Place> places(400);
    for (std::size_t i = places.size(); i-- > 0;) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      const bool stands = static_cast<double>(state >> 33) < chance * 2147483648.0;
      const std::uint32_t after = i + 1 < places.size() ? places[i + 1].accepted : 0;
      places[i] = {kMost, stands ? std::min(after + 1, kMost) : 0};
    }
    trace.answers.push_back(std::move(places));
  }
  return trace;
}

/// Bound by reading the weights up to 8 rows, by computing beyond.
double roofline(double rows) { return 1e-3 * std::max(1.0, rows / 8); }
double flat(double) { return 1e-3; }

TEST_CASE("drafting stops by itself as batches grow and rows become dear") {
  const Trace trace = made_up(roofline, std::vector<double>(32, 0.6));
  const auto drafted = [&](std::uint32_t together) {
    const Replayed r = adaptive(trace, together);
    CHECK(r.speed() >= 0.96 * best_fixed(trace, together).speed);
    return static_cast<double>(r.drafted) / static_cast<double>(r.tokens);
  };
  const double alone = drafted(1), four = drafted(4), sixteen = drafted(16);
  CHECK(alone > 1.0);
  CHECK(four < alone);
  CHECK(four > 0.1);
  CHECK(sixteen < 0.05);
}

TEST_CASE("where rows cost nothing the longest drafts are best, whatever the batch") {
  const Trace trace = made_up(flat, std::vector<double>(16, 0.9));
  for (const std::uint32_t together : {1U, 16U}) {
    const Replayed r = adaptive(trace, together);
    CHECK(r.speed() >= 0.95 * best_fixed(trace, together).speed);
    CHECK(r.drafted > 10 * (r.tokens - r.accepted));
  }
}

TEST_CASE("what does not pay is tried ever more rarely: the loss stays within its share") {
  const Trace hopeless = made_up(roofline, std::vector<double>(40, 0.0), 1e-4);
  const double off = plain(hopeless, 1).speed();
  CHECK(adaptive(hopeless, 1).speed() >= 0.98 * off);
  CHECK(adaptive(hopeless, 1, {.probe_share = 0}).speed() >= 0.98 * off);
}

TEST_CASE("drafts that begin to stand are found again") {
  std::vector<double> chances(20, 0.0);
  chances.resize(60, 0.95);
  const Trace trace = made_up(roofline, chances);
  Trace late = trace;
  late.answers.erase(late.answers.begin(), late.answers.begin() + 20);
  Trace early = trace;
  early.answers.resize(20);
  const auto policy = adaptive_drafts();
  Replay(early, *policy).run();
  CHECK(Replay(late, *policy).run().speed() >= 0.9 * best_fixed(late, 1).speed);
}

TEST_CASE("a draft model's pass is paid for by all that share it, and by what it has yet to read") {
  Trace trace = made_up(flat, std::vector<double>(16, 0.7));
  trace.draft_pass = 0.9e-3;
  CHECK(adaptive(trace, 1).speed() >= 0.97 * plain(trace, 1).speed());  // E(1)/(c + v) = 1.7 / 1.9: off
  CHECK(adaptive(trace, 16).speed() >= 0.95 * best_fixed(trace, 16).speed);
}

TEST_CASE("a length is kept until another one is clearly better") {
  const Trace trace = trace_of({"extract"});
  std::uint64_t steady = 0, restless = 0;
  for (std::uint32_t seed = 1; seed <= 5; ++seed) {
    steady += Replay(trace, *adaptive_drafts({.hysteresis = 0.1}), 1, {0.1, seed}).run(4).changes;
    restless += Replay(trace, *adaptive_drafts({.hysteresis = 0}), 1, {0.1, seed}).run(4).changes;
  }
  CHECK(2 * steady < restless);
}

TEST_CASE("before any pass was measured nothing is drafted") {
  const RequestView request;
  const SequenceView sequence{.request = request, .budget = 100};
  const DrafterView drafter{0, "any", false};
  const DraftRoom room{.drafters = {&drafter, 1}, .most_tokens = 8, .decode_rows = 1};
  const auto policy = adaptive_drafts();
  CHECK(policy->propose(sequence, room).tokens == 0);
  policy->observe({.segments = 1, .rows = 1, .seconds = 0.01});
  policy->observe({.segments = 1, .rows = 9, .seconds = 0.011});
  CHECK(policy->propose(sequence, room).tokens > 0);
  CHECK(policy->propose(sequence, room).tokens <= 8);
}

TEST_CASE("a plan names a drafter at hand and never more than there is room or the options allow") {
  const RequestView request;
  const SequenceView sequence{.request = request, .budget = 100};
  const DrafterView drafters[] = {{3, "text", false}, {7, "small", true}};
  const auto policy = adaptive_drafts({.most_tokens = 5});
  policy->observe({.segments = 1, .rows = 1, .seconds = 0.01});
  policy->observe({.draft = true, .drafter = 7, .segments = 1, .rows = 1, .seconds = 0.001});
  for (std::uint32_t most = 1; most < 10; ++most) {
    const DraftPlan plan = policy->propose(sequence, {.drafters = drafters, .most_tokens = most, .decode_rows = 1});
    CHECK((plan.drafter == 3 || plan.drafter == 7));
    CHECK(plan.tokens <= std::min(most, 5U));
    policy->learn(sequence, {plan, plan.tokens, 0, 1e-6, 0.01});
  }
}

TEST_CASE("an earlier drafter that never stands gives way to a later one that does") {
  const RequestView request;
  const SequenceView sequence{.request = request, .budget = 1000};
  const DrafterView drafters[] = {{0, "bad", false}, {1, "good", false}};
  const auto policy = adaptive_drafts();
  policy->observe({.segments = 1, .rows = 1, .seconds = 0.01});
  policy->observe({.segments = 1, .rows = 17, .seconds = 0.012});
  std::uint32_t good = 0;
  for (int i = 0; i < 200; ++i) {
    const DraftPlan plan = policy->propose(sequence, {.drafters = drafters, .most_tokens = 8, .decode_rows = 1});
    if (plan.tokens == 0) continue;
    policy->learn(sequence, {plan, plan.tokens, plan.drafter == 1 ? plan.tokens : 0, 1e-6, 0.012});
    good += i >= 100 && plan.drafter == 1;
  }
  CHECK(good > 80);
}

TEST_CASE("adaptive_drafts names an option that makes no sense") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(adaptive_drafts({.most_tokens = 0}), Error);
  CHECK_THROWS_AS(adaptive_drafts({.probe_share = 1}), Error);
  CHECK_THROWS_AS(adaptive_drafts({.probe_share = nan}), Error);
  CHECK_THROWS_AS(adaptive_drafts({.hysteresis = -0.1}), Error);
}

TEST_CASE("times of passes lie on the line between those seen, and follow what is seen") {
  PassTimes times;
  CHECK(times.empty());
  CHECK(times.seconds(3) == 0);
  times.observe(1, 1.0);
  CHECK(times.seconds(9) == 1.0);
  times.observe(5, 3.0);
  CHECK(times.seconds(3) == Catch::Approx(2.0));
  CHECK(times.seconds(7) == Catch::Approx(4.0));
  times.observe(0, 1.0);
  times.observe(1, -1.0);
  CHECK(times.seconds(1) == 1.0);
  for (int i = 0; i < 200; ++i) times.observe(1, 2.0);
  CHECK(times.seconds(1) == Catch::Approx(2.0).epsilon(0.01));
  CHECK(times.seconds(5) > 3.0);  // the machine is slower for all
}

}  // namespace
}  // namespace frugal

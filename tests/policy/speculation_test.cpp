#include <frugal/policy/speculation.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>

namespace frugal {
namespace {

// What a host can write today: half as much after a miss, one more after a full acceptance.
class Cautious final : public SpeculationPolicy {
 public:
  std::string_view name() const override { return "cautious"; }
  DraftPlan propose(const SequenceView&, const DraftRoom& room) override {
    return {.drafter = room.drafters.front().index, .tokens = std::min(length_, room.most_tokens)};
  }
  void learn(const SequenceView&, const DraftOutcome& outcome) override {
    length_ = outcome.accepted == outcome.drafted ? length_ + 1 : length_ / 2;
  }

 private:
  std::uint32_t length_ = 4;
};

TEST_CASE("a speculation policy is a function of views and outcomes, and zero is an answer") {
  Cautious own;
  SpeculationPolicy& policy = own;
  const RequestView request;
  const SequenceView sequence{.request = request};
  CHECK(policy.name() == "cautious");
  const DrafterView drafters[] = {{3, "mine", false}};
  CHECK(policy.propose(sequence, {.drafters = drafters, .most_tokens = 8}).drafter == 3);
  CHECK(policy.propose(sequence, {.drafters = drafters, .most_tokens = 8}).tokens == 4);
  policy.learn(sequence, {.plan = {0, 4}, .drafted = 4, .accepted = 4});
  CHECK(policy.propose(sequence, {.drafters = drafters, .most_tokens = 8}).tokens == 5);
  CHECK(policy.propose(sequence, {.drafters = drafters, .most_tokens = 2}).tokens == 2);
  policy.learn(sequence, {.plan = {0, 5}, .drafted = 5, .accepted = 1});
  CHECK(policy.propose(sequence, {.drafters = drafters, .most_tokens = 8}).tokens == 2);
}

TEST_CASE("fixed drafts name the first drafter at hand and fill the room") {
  const RequestView request;
  const SequenceView sequence{.request = request};
  const DrafterView drafters[] = {{1, "lookup", false}, {2, "small", true}};
  const auto policy = fixed_drafts(6);
  const DraftPlan plan = policy->propose(sequence, {.drafters = drafters, .most_tokens = 8});
  CHECK(plan.drafter == 1);
  CHECK(plan.tokens == 6);
  CHECK(policy->propose(sequence, {.drafters = drafters, .most_tokens = 2}).tokens == 2);
  CHECK_THROWS(fixed_drafts(0));
}

}  // namespace
}  // namespace frugal

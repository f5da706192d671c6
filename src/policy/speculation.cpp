#include <frugal/core/error.hpp>
#include <frugal/policy/speculation.hpp>

#include <algorithm>

namespace frugal {

SpeculationPolicy::~SpeculationPolicy() = default;

namespace {

class FixedDrafts final : public SpeculationPolicy {
 public:
  explicit FixedDrafts(std::uint32_t tokens) : tokens_(tokens) {
    if (tokens == 0) throw Error(Errc::invalid_argument, "fixed_drafts: 0 tokens; leave the policy out instead");
  }
  std::string_view name() const override { return "fixed_drafts"; }
  DraftPlan propose(const SequenceView&, const DraftRoom& room) override {
    return {room.drafters.front().index, std::min(tokens_, room.most_tokens)};
  }
  void learn(const SequenceView&, const DraftOutcome&) override {}

 private:
  std::uint32_t tokens_;
};

}  // namespace

std::shared_ptr<SpeculationPolicy> fixed_drafts(std::uint32_t tokens) { return std::make_shared<FixedDrafts>(tokens); }

}  // namespace frugal

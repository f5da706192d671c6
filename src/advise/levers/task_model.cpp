// Task-tuned model: a frequent type with few, short answers can be learned by a small model; the big one stays behind
// it for what the small one is not sure of.
#include "advise/levers/levers.hpp"

#include <algorithm>

namespace frugal::advisor {

namespace {

constexpr double least_share = 0.1, least_requests = 50;
constexpr double short_answer = 32, very_short_answer = 24;  // tokens; the latter where the answers are unknown,
constexpr double even = 1.25;  // unless they are equally long: p95 to median, as labels in a fixed frame are
constexpr Interval answered_alone{0.8, 0.6, 0.95};  // share that the small model answers itself
constexpr Interval small_cost{0.1, 0.25, 0.03};     // of the big model's price; the dear end is the low saving

bool is_narrow(const Workload& workload, std::size_t type) {
  const SliceStats& slice = workload.types()[type];
  const Workload::State& state = workload.state();
  const double longest = slice.output_tokens.quantile(0.95).value_or(0);
  const double answered = static_cast<double>(state.answered[type]);
  if (answered < 0.5 * static_cast<double>(slice.requests))
    return longest <= very_short_answer ||
           (longest <= short_answer && longest <= even * slice.output_tokens.quantile(0.5).value_or(0));
  const auto distinct = static_cast<double>(state.answers[type].size());
  return longest <= short_answer && distinct <= std::max(20.0, 0.05 * answered) && distinct <= 1000;
}

bool is_candidate(const Workload& workload, std::size_t type) {
  const SliceStats& slice = workload.types()[type];
  const auto requests = static_cast<double>(slice.requests);
  return slice.name != "(none)" && slice.name != "(other)" && requests >= least_requests &&
         requests >= least_share * static_cast<double>(workload.total().requests) && is_narrow(workload, type);
}

}  // namespace

Judgement judge_task_model(const Facts& facts) {
  Judgement j;
  if (facts.workload.recorded().type == 0) {
    j.unknown = "the trace has no type, so no frequent, narrow kind of request can be named";
    return j;
  }
  std::vector<bool> narrow;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < facts.workload.types().size(); ++i) {
    narrow.push_back(is_candidate(facts.workload, i));
    if (narrow.back()) names.push_back(facts.workload.types()[i].name);
  }
  if (names.empty()) return j;
  j.reprice = [narrow](const Row& row, Level level) -> Saved {
    return {.cost = narrow[row.type] ? row.cost * (at(answered_alone, level) - at(small_cost, level)) : 0};
  };
  j.assumption = "a small model tuned on " + list_of(names) +
                 " answers 60 to 95 % of them itself, likely 80 %, at 3 to 25 % of the price, likely 10 %";
  j.experiment = "`frugal train head --model SMALL --data LABELLED` on 500 logged requests of " + list_of(names) +
                 ", then `frugal cascade record --tier head:HEAD@SMALL --tier BIG` and `frugal cascade fit`: its bound "
                 "says what the head may answer itself";
  return j;
}

}  // namespace frugal::advisor

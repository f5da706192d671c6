// Batch: a provider's batch interface answers within hours for about half the price: fit for what nobody waits for.
#include "advise/levers/levers.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "core/ascii.hpp"

namespace frugal::advisor {

namespace {

constexpr double usual_discount = 0.5;       // where the price book has no batch price: all makers' of 2024 to 2026
constexpr Interval may_wait{1.0, 0.8, 1.0};  // share of a deferrable type that can really wait
constexpr std::array<std::string_view, 8> words{"batch", "nightly",  "overnight", "offline",
                                                "bulk",  "backfill", "cron",      "scheduled"};

bool named_so(std::string_view given) {
  const std::string name = lower_ascii(given);
  return std::any_of(words.begin(), words.end(), [&](std::string_view w) { return name.find(w) != std::string::npos; });
}

}  // namespace

std::vector<bool> deferrable_types(const Workload& workload) {
  const Workload::State& state = workload.state();
  const std::vector<std::string>& told = state.options.deferrable_types;
  std::vector<bool> fit;
  for (std::size_t i = 0; i < workload.types().size(); ++i) {
    const std::string& name = workload.types()[i].name;
    fit.push_back(std::find(told.begin(), told.end(), name) != told.end() || named_so(name) ||
                  state.bursts[i].deferrable(workload.span_s()));
  }
  return fit;
}

Judgement judge_batch(const Facts& facts) {
  Judgement j;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < facts.deferrable.size(); ++i)
    if (facts.deferrable[i]) names.push_back(facts.workload.types()[i].name);
  if (names.empty()) {
    if (facts.workload.recorded().timestamp == 0)
      j.unknown = "the trace has no time stamps, so nobody can tell which requests come in bulk";
    return j;
  }
  bool assumed = false;
  for (const Row& row : facts.rows) assumed = assumed || (facts.deferrable[row.type] && std::isnan(row.batch_cost));
  j.reprice = [&facts](const Row& row, Level level) -> Saved {
    if (!facts.deferrable[row.type]) return {};
    const double batch = std::isnan(row.batch_cost) ? row.cost * (1 - usual_discount) : row.batch_cost;
    return {.cost = std::max(0.0, row.cost - batch) * at(may_wait, level)};
  };
  j.assumption = "nobody waits for " + list_of(names) + ": 80 to 100 % of these requests can take hours" +
                 (assumed ? "; a batch interface, whose price is not in the book, costs half" : "");
  j.experiment = "ask the owners of " + list_of(names) +
                 " by when they need the answers; send one day's work through the "
                 "batch interface (frugal batch --provider, HttpBatchEndpoint)";
  return j;
}

}  // namespace frugal::advisor

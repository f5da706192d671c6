// Context: long prompts that no other prompt shares, with short answers: most of what is sent is likely not used.
#include "advise/levers/levers.hpp"

#include <algorithm>

namespace frugal::advisor {

namespace {

constexpr double least_tokens = 2000;   // median of the unshared part
constexpr double most_answer = 0.1;     // output tokens to prompt tokens
constexpr Interval cut{0.4, 0.1, 0.6};  // share of the unshared part that can go
constexpr std::size_t least_rows = 20;

double unshared(const Row& row) { return row.prompt - std::max(row.seen, row.cached); }

bool is_stuffed(const std::vector<const Row*>& rows) {
  if (rows.size() < least_rows) return false;
  std::vector<double> tokens;
  double prompt = 0, output = 0;
  for (const Row* row : rows) tokens.push_back(unshared(*row)), prompt += row->prompt, output += row->output;
  std::nth_element(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(tokens.size() / 2), tokens.end());
  return tokens[tokens.size() / 2] >= least_tokens && output <= most_answer * prompt;
}

}  // namespace

Judgement judge_context(const Facts& facts) {
  Judgement j;
  std::vector<std::vector<const Row*>> by_type(facts.workload.types().size());
  bool any = false;
  for (const Row& row : facts.rows)
    if (row.whole_chain) by_type[row.type].push_back(&row), any = true;
  if (!any) {
    j.unknown = "the trace has no prefix_blocks up to the prompts' ends: they may be shared or one-time context";
    return j;
  }
  std::vector<bool> stuffed;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < by_type.size(); ++i) {
    stuffed.push_back(is_stuffed(by_type[i]));
    if (stuffed.back()) names.push_back(facts.workload.types()[i].name);
  }
  if (names.empty()) return j;
  j.spared = [stuffed](const Row& row, Level level) -> double {
    if (!stuffed[row.type] || !row.whole_chain || row.repeat) return 0;
    return unshared(row) * at(cut, level);
  };
  j.reprice = [&facts, spared = j.spared](const Row& row, Level level) -> Saved {
    const double tokens = spared(row, level);
    const double wait = facts.prefill.saved_ms(row, tokens, level);
    return {tokens * row.per_input, wait, where_split(row, wait)};
  };
  j.assumption = "10 to 60 % of the context of " + list_of(names) +
                 " that no other prompt shares can be left out, likely 40 %, without a worse answer";
  j.experiment = "answer 200 logged requests of " + list_of(names) +
                 " with the best half of their context and compare the answers";
  return j;
}

}  // namespace frugal::advisor

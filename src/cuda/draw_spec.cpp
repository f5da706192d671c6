#include "cuda/draw_spec.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "backend/candidates.hpp"
#include "backend/counter.hpp"

namespace frugal::cuda {
namespace {

bool is_plain(const DrawSpec& spec) {
  return spec.sampling != nullptr && spec.top_logprobs == 0 && spec.distribution == nullptr &&
         !spec.keep_distribution && spec.draft_distribution.empty() && spec.draft.ticket == Ticket{};
}

/// One entry a token, in the order of the ids; none where a bias stands twice, for the sums of floats are not one sum.
std::optional<std::vector<Adjustment>> adjustments_of(const DrawSpec& spec, std::uint32_t tokens) {
  const Sampling& s = *spec.sampling;
  std::unordered_map<Token, Adjustment> by_token;
  const auto entry = [&](Token t) -> Adjustment* {
    if (t < 0 || static_cast<std::uint32_t>(t) >= tokens) return nullptr;
    return &by_token.try_emplace(t, Adjustment{t, 0.0F, 0, 0}).first->second;
  };
  for (const auto& [t, bias] : s.logit_bias) {
    Adjustment* const a = entry(t);
    if (a == nullptr) continue;
    if (a->repeated != 0) return std::nullopt;
    a->bias = bias, a->repeated = 1;  // for now: seen
  }
  for (auto& [t, a] : by_token) a.repeated = 0;
  if (s.repetition_penalty != 1.0F)
    for (const auto history : {spec.prompt, spec.output})
      for (const Token t : history)
        if (Adjustment* const a = entry(t)) a->repeated = 1;
  if (s.presence_penalty != 0.0F || s.frequency_penalty != 0.0F)
    for (const Token t : spec.output)
      if (Adjustment* const a = entry(t)) ++a->in_output;
  std::vector<Adjustment> all;
  for (const auto& [t, a] : by_token) all.push_back(a);
  std::sort(all.begin(), all.end(), [](const Adjustment& a, const Adjustment& b) { return a.token < b.token; });
  return all;
}

}  // namespace

std::optional<PreparedDraw> prepare(const DrawSpec& spec, std::uint32_t vocab) {
  if (!is_plain(spec)) return std::nullopt;
  const Sampling& s = *spec.sampling;
  PreparedDraw out;
  DrawRow& row = out.row;
  row.tokens = spec.tokens == 0 ? vocab : std::min(spec.tokens, vocab);
  auto adjustments = adjustments_of(spec, row.tokens);
  if (!adjustments) return std::nullopt;
  out.adjustments = std::move(*adjustments);
  row.adjustment_count = static_cast<std::uint32_t>(out.adjustments.size());
  row.mask_words = static_cast<std::uint32_t>(spec.mask.size());
  row.repetition = s.repetition_penalty, row.presence = s.presence_penalty, row.frequency = s.frequency_penalty;
  row.scale = s.temperature > 0.0F ? backend::weight_scale(s.temperature) : 0.0F;
  row.top_k = s.top_k > 0 ? static_cast<std::uint32_t>(s.top_k) : 0;
  row.top_p = s.top_p < 1.0F;
  row.share = row.top_p ? backend::share_fraction(s.top_p) : 0;
  row.least_weight = backend::least_weight_of(s.min_p);
  row.number = backend::counter_number(spec.seed, spec.position, spec.purpose);
  row.scores = spec.scores;
  row.score_scale = backend::weight_scale(1.0F);
  return out;
}

// As Drawer scores: log p = x - max - log(sum of weights).
TokenScore score_of(const Drawn& drawn, const DrawRow& row) {
  TokenScore out;
  out.token = drawn.token;
  if (drawn.token < 0 || !row.scores) return out;
  const double sum = static_cast<double>(drawn.total) * 0x1p-40;
  const auto above = [&](float x) {
    return x == drawn.peak ? 0.0 : static_cast<double>(x) - static_cast<double>(drawn.peak);
  };
  out.logprob = static_cast<float>(above(drawn.logit) - std::log(sum));
  const double second = row.tokens < 2 ? 0.0 : std::exp(above(drawn.second));
  out.margin = static_cast<float>((1.0 - second) / sum);
  return out;
}

}  // namespace frugal::cuda

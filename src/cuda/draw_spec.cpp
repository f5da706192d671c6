#include "cuda/draw_spec.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "backend/candidates.hpp"
#include "backend/counter.hpp"
#include "backend/draw_questions.hpp"

namespace frugal::cuda {
namespace {

/// By rising token. A token's first entry has its first bias and its counts; each further bias has an entry of its own.
std::vector<Adjustment> adjustments_of(const DrawSpec& spec, std::uint32_t tokens) {
  const Sampling& s = *spec.sampling;
  std::unordered_map<Token, Adjustment> by_token;
  std::vector<Adjustment> repeats;
  const auto entry = [&](Token t) -> Adjustment* {
    if (t < 0 || static_cast<std::uint32_t>(t) >= tokens) return nullptr;
    return &by_token.try_emplace(t, Adjustment{t, 0.0F, 0, 0}).first->second;
  };
  for (const auto& [t, bias] : s.logit_bias) {
    if (by_token.contains(t))
      repeats.push_back({t, bias, 0, 0});
    else if (Adjustment* const a = entry(t))
      a->bias = bias;
  }
  if (s.repetition_penalty != 1.0F)
    for (const auto history : {spec.prompt, spec.output})
      for (const Token t : history)
        if (Adjustment* const a = entry(t)) a->repeated = 1;
  if (s.presence_penalty != 0.0F || s.frequency_penalty != 0.0F)
    for (const Token t : spec.output)
      if (Adjustment* const a = entry(t)) ++a->in_output;
  std::vector<Adjustment> all;
  for (const auto& [t, a] : by_token) all.push_back(a);
  all.insert(all.end(), repeats.begin(), repeats.end());
  std::stable_sort(all.begin(), all.end(), [](const Adjustment& a, const Adjustment& b) { return a.token < b.token; });
  return all;
}

}  // namespace

bool judges(const DrawSpec& spec) { return !spec.draft_distribution.empty() || spec.draft.ticket != Ticket{}; }

PreparedDraw prepare(const DrawSpec& spec, std::uint32_t vocab) {
  backend::check(spec);
  const Sampling& s = *spec.sampling;
  PreparedDraw out;
  DrawRow& row = out.row;
  row.tokens = spec.tokens == 0 ? vocab : std::min(spec.tokens, vocab);
  out.adjustments = adjustments_of(spec, row.tokens);
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
  row.listed = std::min(spec.top_logprobs, row.tokens);
  row.width = vocab;
  if (!judges(spec)) return out;
  row.drafted = spec.drafted;
  row.accept = backend::counter_number(spec.seed, spec.position, DrawPurpose::accept);
  row.residual = backend::counter_number(spec.seed, spec.position, DrawPurpose::residual);
  return out;
}

// As Drawer scores: log p = x - max - log(sum of weights).
TokenScore score_of(const Drawn& drawn, const DrawRow& row, std::span<const Listed> list) {
  TokenScore out;
  out.token = drawn.token;
  if (drawn.token < 0 || (!row.scores && row.listed == 0)) return out;
  const double sum = static_cast<double>(drawn.total) * 0x1p-40;
  const auto above = [&](float x) {
    return x == drawn.peak ? 0.0 : static_cast<double>(x) - static_cast<double>(drawn.peak);
  };
  const auto logprob = [&](float x) { return static_cast<float>(above(x) - std::log(sum)); };
  if (row.scores) {
    out.logprob = logprob(drawn.logit);
    const double second = row.tokens < 2 ? 0.0 : std::exp(above(drawn.second));
    out.margin = static_cast<float>((1.0 - second) / sum);
  }
  std::vector<Listed> best(list.begin(), list.end());
  std::sort(best.begin(), best.end(), [](const Listed& a, const Listed& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  });
  for (const Listed& l : best) out.top.push_back({.token = l.token, .logprob = logprob(l.logit)});
  return out;
}

}  // namespace frugal::cuda

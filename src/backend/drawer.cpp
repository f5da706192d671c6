#include "backend/drawer.hpp"

#include <frugal/core/error.hpp>

#include "backend/candidates.hpp"
#include "backend/counter.hpp"
#include "backend/deferral.hpp"
#include "backend/draw_questions.hpp"
#include "backend/nucleus.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace frugal::backend {
namespace {

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

float clean(float x) noexcept { return std::isnan(x) ? minus_infinity : x; }

bool in_range(Token t, std::size_t vocab) noexcept { return t >= 0 && static_cast<std::size_t>(t) < vocab; }

/// Block b of a row of n.
std::size_t block_length(std::size_t n, std::size_t start) noexcept { return std::min(row_block, n - start); }

/// A row and its peaks by lanes.
struct Row {
  std::span<const float> x{};
  std::span<const float> lanes{};
  Peaks peaks{minus_infinity, minus_infinity};
};

/// How a row is to be drawn from.
enum class Kind {
  nothing,  ///< no token can be drawn
  greedy,   ///< one token
  whole,    ///< every token by its weight: block sums
  nucleus,  ///< what the nucleus keeps by its weight: block sums
  listed    ///< the candidates by their weights
};

struct Choice {
  Kind kind = Kind::nothing;
  Token token = -1;
  WeightScale scale{};
  std::uint64_t total = 0;               ///< of what can be drawn
  std::optional<std::uint64_t> whole{};  ///< of the whole row, where it was summed
};

}  // namespace

void check_draft(const DrawSpec& spec, std::size_t given, std::size_t vocab, std::size_t tokens) {
  const auto fail = [](const std::string& what) { throw Error(Errc::invalid_argument, "draw: the draft " + what); };
  if (given != vocab)
    fail("has a distribution of " + std::to_string(given) + " tokens, the vocabulary " + std::to_string(vocab));
  const std::string name = "token " + std::to_string(spec.drafted);
  if (!in_range(spec.drafted, tokens)) fail(name + " is outside the vocabulary of " + std::to_string(tokens));
  const std::span<const float> p = spec.draft_distribution;
  if (!p.empty() && !(p[static_cast<std::size_t>(spec.drafted)] > 0.0F))
    fail(name + " has no probability where it is said to be drawn from");
}

struct Drawer::Work {
  explicit Work(const RowKernels& k) : kernels(k), passes(k) {}

  const RowKernels& kernels;
  RowPasses passes;
  std::vector<float> adjusted, target;        // [vocab]; target is for judging drafts
  std::vector<float> raw_lanes, lanes, some;  // [blocks * row_lanes]
  std::vector<std::uint64_t> sums;            // [blocks]
  std::vector<std::uint64_t> block;           // [row_block]
  std::vector<std::uint32_t> seen;            // [vocab], zero between uses
  Candidates candidates;
  Nucleus nucleus;

  Row measure(std::span<const float> x, std::vector<float>& into) {
    into.resize((x.size() + row_block - 1) / row_block * row_lanes);
    const Peaks peaks = passes.peaks(x, into.data());
    return {x, into, peaks};
  }
  static bool any_finite(const Row& row) noexcept {
    if (std::isfinite(row.peaks.first)) return true;
    return std::any_of(row.x.begin(), row.x.end(), [](float v) { return std::isfinite(v); });
  }

  Row adjust(std::span<const float> raw, const DrawSpec& spec);
  bool prepare(std::span<const float> logits, const DrawSpec& spec, Row& raw, Row& row);
  void penalise_repetition(const DrawSpec& spec, float penalty);
  void penalise_presence_and_frequency(const DrawSpec& spec, const Sampling& s);

  Choice choose(const Row& row, const DrawSpec& spec);
  std::uint64_t sum_blocks(std::span<const float> x, WeightScale scale);
  float kth_peak(const Row& row, std::size_t k);
  void filter(const Row& row, const Sampling& s, Choice& choice);
  void list_allowed(std::span<const std::uint32_t> mask, std::size_t vocab);
  std::size_t weigh_block(const Row& row, const Choice& choice, std::size_t start);
  Token pick(const Row& row, const Choice& choice, std::uint64_t number);
  void spread(const Row& row, const Choice& choice, std::span<float> p);
  Token first_peak(const Row& row) const noexcept;
  Token judge(const Row& row, const Choice& choice, const DrawSpec& spec);
  bool draft_stands(const Row& row, const Choice& choice, const DrawSpec& spec);
  bool q_stands(const Row& row, const DrawSpec& spec);
  void score(const Row& raw, const Choice& choice, const DrawSpec& spec, TokenScore& out);
};

Drawer::Drawer() : Drawer(*available_row_kernels().front()) {}
Drawer::Drawer(const RowKernels& kernels) : work_(std::make_unique<Work>(kernels)) {}
Drawer::~Drawer() = default;
Drawer::Drawer(Drawer&&) noexcept = default;

/// The row after bias, penalties and mask, where there are any.
Row Drawer::Work::adjust(std::span<const float> raw, const DrawSpec& spec) {
  const Sampling& s = *spec.sampling;
  if (adjusts(s)) {
    adjusted.assign(raw.begin(), raw.end());
    for (const auto& [t, bias] : s.logit_bias)
      if (in_range(t, adjusted.size())) adjusted[static_cast<std::size_t>(t)] += bias;
    if (s.repetition_penalty != 1.0F) penalise_repetition(spec, s.repetition_penalty);
    if (s.presence_penalty != 0.0F || s.frequency_penalty != 0.0F) penalise_presence_and_frequency(spec, s);
    if (spec.mask.empty()) return measure(adjusted, lanes);
    raw = adjusted;
  }
  adjusted.resize(raw.size());
  lanes.resize((raw.size() + row_block - 1) / row_block * row_lanes);
  const Peaks peaks = passes.mask(raw, spec.mask, adjusted.data(), lanes.data());
  return {adjusted, lanes, peaks};
}

/// Fills both rows; `raw` has peaks where they are asked for. False: no logit is finite. A row that is adjusted and not
/// scored is passed over once.
bool Drawer::Work::prepare(std::span<const float> logits, const DrawSpec& spec, Row& raw, Row& row) {
  raw.x = logits;
  const bool plain = !adjusts(*spec.sampling) && spec.mask.empty();
  if (plain || spec.scores || spec.top_logprobs > 0) {
    raw = measure(logits, raw_lanes);
    if (!any_finite(raw)) return false;
  }
  row = plain ? raw : adjust(logits, spec);
  return any_finite(row) || any_finite(raw);
}

void Drawer::Work::penalise_repetition(const DrawSpec& spec, float penalty) {
  if (seen.size() < adjusted.size()) seen.resize(adjusted.size());
  for (const auto history : {spec.prompt, spec.output}) {
    for (const Token t : history) {
      if (!in_range(t, adjusted.size()) || seen[static_cast<std::size_t>(t)]++ != 0) continue;
      float& value = adjusted[static_cast<std::size_t>(t)];
      value = value > 0.0F ? value / penalty : value * penalty;
    }
  }
  for (const auto history : {spec.prompt, spec.output})
    for (const Token t : history)
      if (in_range(t, adjusted.size())) seen[static_cast<std::size_t>(t)] = 0;
}

void Drawer::Work::penalise_presence_and_frequency(const DrawSpec& spec, const Sampling& s) {
  if (seen.size() < adjusted.size()) seen.resize(adjusted.size());
  for (const Token t : spec.output)
    if (in_range(t, adjusted.size())) ++seen[static_cast<std::size_t>(t)];
  for (const Token t : spec.output) {
    if (!in_range(t, adjusted.size())) continue;
    const std::uint32_t count = std::exchange(seen[static_cast<std::size_t>(t)], 0U);
    if (count == 0) continue;
    adjusted[static_cast<std::size_t>(t)] -= s.presence_penalty + s.frequency_penalty * static_cast<float>(count);
  }
}

Token Drawer::Work::first_peak(const Row& row) const noexcept {
  for (std::size_t start = 0; start < row.x.size(); start += row_block) {
    const auto at = row.lanes.subspan(start / row_block * row_lanes, row_lanes);
    if (std::find(at.begin(), at.end(), row.peaks.first) == at.end()) continue;
    return static_cast<Token>(
        std::find(row.x.begin() + static_cast<std::ptrdiff_t>(start), row.x.end(), row.peaks.first) - row.x.begin());
  }
  return -1;  // not reached: the peak is in its lane
}

// Where every allowed logit is minus infinity, all allowed tokens weigh the same.
Choice Drawer::Work::choose(const Row& row, const DrawSpec& spec) {
  const Sampling& s = *spec.sampling;
  Choice choice;
  const bool flat = row.peaks.first == minus_infinity;
  if (flat) list_allowed(spec.mask, row.x.size());
  if (flat && candidates.size == 0) return choice;
  if (is_greedy(s)) {
    choice.kind = Kind::greedy;
    choice.token = flat ? candidates.ids.front() : first_peak(row);
    return choice;
  }
  choice.scale = {row.peaks.first, weight_scale(s.temperature)};
  const bool filters = s.top_k > 0 || s.top_p < 1.0F || s.min_p > 0.0F;
  if (!flat && !filters) {
    choice.kind = Kind::whole;
    choice.total = sum_blocks(row.x, choice.scale);
    choice.whole = choice.total;
    return choice;
  }
  if (!flat && s.top_p < 1.0F && s.top_k <= 0 && !(s.min_p > 0.0F)) {
    choice.kind = Kind::nucleus;
    nucleus.cut(passes, {row.x, row.lanes, choice.scale}, s.top_p, candidates);
    choice.total = nucleus.total();
    choice.whole = nucleus.whole();
    return choice;
  }
  choice.kind = Kind::listed;
  if (flat) {
    candidates.weigh(kernels, choice.scale);
    choice.whole = candidates.total();
  }
  filter(row, s, choice);
  choice.total = candidates.total();
  return choice;
}

void Drawer::Work::list_allowed(std::span<const std::uint32_t> bits, std::size_t vocab) {
  candidates.reserve(vocab);
  for (std::size_t t = 0; t < vocab; ++t)
    if (allowed(bits, t)) candidates.add(static_cast<Token>(t), minus_infinity);
}

std::uint64_t Drawer::Work::sum_blocks(std::span<const float> x, WeightScale scale) {
  sums.resize((x.size() + row_block - 1) / row_block);
  return passes.weigh(x, scale, sums.data());
}

/// A value that at least k logits reach, as each lane's peak is one of them; minus infinity where there are fewer lanes.
float Drawer::Work::kth_peak(const Row& row, std::size_t k) {
  if (k > row.lanes.size()) return minus_infinity;
  some.assign(row.lanes.begin(), row.lanes.end());
  const auto place = some.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(some.begin(), place, some.end(), std::greater<>());
  return *place;
}

void Drawer::Work::filter(const Row& row, const Sampling& s, Choice& choice) {
  const bool top_k = s.top_k > 0 && static_cast<std::size_t>(s.top_k) < row.x.size(), top_p = s.top_p < 1.0F;
  const bool flat = choice.whole.has_value();  // listed and weighed
  const std::uint64_t least_weight = least_weight_of(s.min_p);
  const float by_weight =
      s.min_p > 0.0F ? logit_below(choice.scale, std::min(static_cast<double>(s.min_p), 1.0)) : minus_infinity;
  std::uint64_t mass = 0;
  if (top_p && !top_k) {
    if (!flat) choice.whole = sum_blocks(row.x, choice.scale);
    mass = share_of(*choice.whole, s.top_p);
  }
  if (!flat) {
    float least = by_weight;
    if (top_k) least = std::max(kth_peak(row, static_cast<std::size_t>(s.top_k)), top_p ? minus_infinity : by_weight);
    candidates.gather(passes, row.x, {.least = least});
    candidates.weigh(kernels, choice.scale);
  }
  if (top_k) candidates.keep_top_k(static_cast<std::size_t>(s.top_k));
  if (top_k && top_p) mass = share_of(candidates.total(), s.top_p);
  if (least_weight > 0) candidates.keep_weight(least_weight);
  if (top_p) candidates.keep_mass(kernels, choice.scale, mass);
}

/// block = the weights of what can be drawn; returns its length.
std::size_t Drawer::Work::weigh_block(const Row& row, const Choice& choice, std::size_t start) {
  const std::size_t length = block_length(row.x.size(), start);
  block.resize(row_block);
  kernels.weights(row.x.data() + start, length, choice.scale, block.data());
  if (choice.kind == Kind::nucleus)
    for (std::size_t i = 0; i < length; ++i)
      if (!nucleus.keeps(row.x[start + i], static_cast<Token>(start + i))) block[i] = 0;
  return length;
}

// `number` / 2^64 of the total, in id order.
Token Drawer::Work::pick(const Row& row, const Choice& choice, std::uint64_t number) {
  if (choice.kind == Kind::greedy || choice.kind == Kind::nothing) return choice.token;
  std::uint64_t rest = multiply_high(number, choice.total);
  if (choice.kind == Kind::listed) return candidates.at(rest);
  const std::span<const std::uint64_t> of_blocks =
      choice.kind == Kind::nucleus ? nucleus.blocks() : std::span<const std::uint64_t>(sums);
  std::size_t b = 0;
  for (; rest >= of_blocks[b]; ++b) rest -= of_blocks[b];
  const std::size_t start = b * row_block;
  weigh_block(row, choice, start);
  std::size_t i = 0;
  for (; rest >= block[i]; ++i) rest -= block[i];
  return static_cast<Token>(start + i);
}

void Drawer::Work::spread(const Row& row, const Choice& choice, std::span<float> p) {
  const auto probability = [&](std::uint64_t w) {
    return static_cast<float>(static_cast<double>(w) / static_cast<double>(choice.total));
  };
  if (choice.kind == Kind::whole || choice.kind == Kind::nucleus) {
    for (std::size_t start = 0; start < row.x.size(); start += row_block) {
      const std::size_t length = weigh_block(row, choice, start);
      for (std::size_t i = 0; i < length; ++i) p[start + i] = probability(block[i]);
    }
    std::fill(p.begin() + static_cast<std::ptrdiff_t>(row.x.size()), p.end(), 0.0F);
    return;
  }
  std::fill(p.begin(), p.end(), 0.0F);
  if (choice.kind == Kind::greedy) p[static_cast<std::size_t>(choice.token)] = 1.0F;
  if (choice.kind != Kind::listed) return;
  for (std::size_t i = 0; i < candidates.size; ++i)
    p[static_cast<std::size_t>(candidates.ids[i])] = probability(candidates.w[i]);
}

Token Drawer::Work::judge(const Row& row, const Choice& choice, const DrawSpec& spec) {
  if (choice.kind == Kind::nothing) return -1;
  if (defers(spec.deferral) && choice.kind == Kind::greedy)
    return draft_stands(row, choice, spec) || q_stands(row, spec) ? spec.drafted : choice.token;
  target.resize(row.x.size());
  spread(row, choice, target);
  return judge_drawn(target, spec);
}

// By the rule `token`. A greedy row's p is at temperature 1, where p / max p needs no sum.
bool Drawer::Work::draft_stands(const Row& row, const Choice& choice, const DrawSpec& spec) {
  if (!may_stand(spec, row.x.size()) || row.peaks.first == minus_infinity) return false;  // else choice has a token
  const auto draft = static_cast<std::size_t>(spec.drafted);
  if (choice.kind == Kind::greedy)
    return stands(std::exp(clean(row.x[draft]) - row.peaks.first), 1, spec.deferral.alpha);
  target.resize(row.x.size());
  spread(row, choice, target);
  return stands(target[draft], *std::max_element(target.begin(), target.end()), spec.deferral.alpha);
}

// By the rule `opt`, of a greedy row: its p is at temperature 1.
bool Drawer::Work::q_stands(const Row& row, const DrawSpec& spec) {
  if (spec.deferral.rule != DeferralRule::opt || row.peaks.first == minus_infinity) return false;
  const WeightScale scale{row.peaks.first, weight_scale(1.0F)};
  target.resize(row.x.size());
  spread(row, {.kind = Kind::whole, .scale = scale, .total = sum_blocks(row.x, scale)}, target);
  const auto q = spec.draft_distribution.first(target.size());
  return target[static_cast<std::size_t>(spec.drafted)] > 0.0F && all_stand(target, q, spec.deferral.alpha);
}

// From the model's own distribution: log p = x - max - log(sum of weights), where weights are at temperature 1.
void Drawer::Work::score(const Row& raw, const Choice& choice, const DrawSpec& spec, TokenScore& out) {
  const WeightScale scale{raw.peaks.first, weight_scale(1.0F)};
  const bool summed =
      choice.whole && choice.scale.scale == scale.scale && spec.mask.empty() && !adjusts(*spec.sampling);
  std::uint64_t total = summed ? *choice.whole : 0;
  if (!summed) total = sum_blocks(raw.x, scale);
  const double sum = static_cast<double>(total) * 0x1p-40;
  const auto above = [&](float x) {
    return x == scale.max ? 0.0 : static_cast<double>(x) - static_cast<double>(scale.max);
  };
  const auto logprob = [&](float x) { return static_cast<float>(above(x) - std::log(sum)); };
  if (spec.scores) {
    out.logprob = logprob(clean(raw.x[static_cast<std::size_t>(out.token)]));
    const double second = raw.x.size() < 2 ? 0.0 : std::exp(above(raw.peaks.second));
    out.margin = static_cast<float>((1.0 - second) / sum);
  }
  if (spec.top_logprobs == 0) return;
  const std::size_t most = std::min<std::size_t>(spec.top_logprobs, raw.x.size());
  candidates.gather(passes, raw.x, {.least = kth_peak(raw, most)});
  for (const std::size_t i : candidates.best(most))
    out.top.push_back({.token = candidates.ids[i], .logprob = logprob(candidates.x[i])});
}

TokenScore Drawer::draw(std::span<const float> logits, const DrawSpec& spec, RowTeam* team) {
  check(logits, spec);
  Work& w = *work_;
  w.passes.set_team(team);
  const std::span<const float> tokens = logits_of_tokens(logits, spec);
  const bool judged = !spec.draft_distribution.empty();
  if (judged) check_draft(spec, spec.draft_distribution.size(), logits.size(), tokens.size());
  TokenScore out{.token = -1};
  Choice choice;
  Row raw, row;
  if (w.prepare(tokens, spec, raw, row)) {
    choice = w.choose(row, spec);
    const std::uint64_t number = counter_number(spec.seed, spec.position, spec.purpose);
    out.token = judged ? w.judge(row, choice, spec) : w.pick(row, choice, number);
    if (!judged && w.draft_stands(row, choice, spec)) out.token = spec.drafted;
  }
  if (spec.distribution != nullptr) {
    spec.distribution->resize(logits.size());
    w.spread(row, choice, *spec.distribution);
  }
  if (out.token >= 0 && (spec.scores || spec.top_logprobs > 0)) w.score(raw, choice, spec, out);
  return out;
}

void Drawer::distribution(std::span<const float> logits, const DrawSpec& spec, std::span<float> p) {
  check(logits, spec);
  Work& w = *work_;
  w.passes.set_team(nullptr);
  Row raw, row;
  if (!w.prepare(logits_of_tokens(logits, spec), spec, raw, row)) {
    std::fill(p.begin(), p.end(), 0.0F);
    return;
  }
  w.spread(row, w.choose(row, spec), p);
}

}  // namespace frugal::backend

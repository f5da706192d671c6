#include <frugal/advise/advisor.hpp>

#include "advise/levers/levers.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace frugal {

using namespace advisor;

namespace {

constexpr std::array<std::string_view, 8> lever_names{"prefix_cache", "cascade", "task_model",   "speculation",
                                                      "cap",          "batch",   "answer_cache", "context"};
using Judge = Judgement (*)(const Facts&);
constexpr std::array<Judge, 8> judges{judge_prefix_cache, judge_cascade, judge_task_model,   judge_speculation,
                                      judge_cap,          judge_batch,   judge_answer_cache, judge_context};

void check(const Workload& workload, const AdvisorOptions& o) {
  const auto refuse = [](const char* what) { throw Error(Errc::invalid_argument, std::string("advise: ") + what); };
  if (!workload.state().finished) refuse("the workload is not finished (Workload::finish)");
  if (!(o.worth >= 0 && o.worth < 1)) refuse("worth must be in [0, 1)");
  if (!(o.ttft_goal_ms > 0 && o.tpot_goal_ms > 0 && o.e2e_goal_ms > 0)) refuse("a goal must be above 0 ms");
  if (!(o.clearly_missed >= 1)) refuse("clearly_missed must be at least 1");
  const Interval &a = o.speculation.acceptance, &c = o.speculation.draft, &v = o.speculation.row;
  if (!(a.low >= 0 && a.low <= a.estimate && a.estimate <= a.high && a.high < 1))
    refuse("speculation.acceptance must be ordered and in [0, 1)");
  if (!(c.low >= 0 && c.low <= c.estimate && c.estimate <= c.high && v.low >= 0 && v.low <= v.estimate &&
        v.estimate <= v.high))
    refuse("speculation.draft and .row must be ordered and not negative");
}

/// What callers feel: over the types that somebody waits for, or over all where nobody waits for any.
struct Felt {
  Sketch ttft{}, tpot{}, e2e{};
  double ttft_sum = 0, decode_sum = 0;
};

Felt felt(const Facts& facts) {
  Felt sum;
  const std::vector<SliceStats>& types = facts.workload.types();
  const bool all = std::find(facts.deferrable.begin(), facts.deferrable.end(), false) == facts.deferrable.end();
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (facts.deferrable[i] && !all) continue;
    sum.ttft.merge(types[i].ttft_ms);
    sum.tpot.merge(types[i].tpot_ms);
    sum.e2e.merge(types[i].e2e_ms);
    sum.ttft_sum += types[i].ttft_ms_sum;
    sum.decode_sum += types[i].decode_ms_sum;
  }
  return sum;
}

std::string seconds(double ms) { return number(ms / 1000) + " s"; }

/// Nine of ten requests are at least this good; none = not measured.
struct Pace {
  std::optional<double> ttft, tpot, e2e;

  explicit Pace(const Felt& f) : ttft(f.ttft.quantile(0.9)), tpot(f.tpot.quantile(0.9)), e2e(f.e2e.quantile(0.9)) {}
  /// As a multiple of the goal: above 1 it is missed; 0 where it was not measured.
  double late(const AdvisorOptions& o) const { return ttft.value_or(0) / o.ttft_goal_ms; }
  double slow(const AdvisorOptions& o) const {
    return std::max(tpot.value_or(0) / o.tpot_goal_ms, e2e.value_or(0) / o.e2e_goal_ms);
  }
  std::string text() const {
    const auto figure = [](const std::optional<double>& ms, bool short_time) {
      return !ms ? std::string("unknown") : short_time ? number(*ms) + " ms" : seconds(*ms);
    };
    return "p90 of TTFT " + figure(ttft, false) + ", of TPOT " + figure(tpot, true) + ", of e2e " + figure(e2e, false);
  }
};

Metric metric_of(Bound bound) {
  return bound == Bound::cost ? Metric::cost : bound == Bound::ttft ? Metric::ttft : Metric::e2e;
}

/// The greatest saving that is sure to be one.
double best(const std::vector<LeverAdvice>& levers, Metric metric) {
  double most = 0;
  for (const LeverAdvice& l : levers)
    if (l.on(metric) && l.on(metric)->low > 0) most = std::max(most, l.on(metric)->estimate);
  return most;
}

/// What latency is made of where a goal is missed: the part that misses it; where both do, the longer one.
Bound longer_part(const Felt& f, const Pace& pace, const AdvisorOptions& o) {
  if (pace.slow(o) <= 1) return Bound::ttft;
  if (f.ttft_sum + f.decode_sum == 0) return Bound::tpot;  // nobody knows which part of the whole time it is
  return f.ttft_sum >= f.decode_sum ? Bound::ttft : Bound::tpot;
}

/// Latency binds where nine of ten requests miss a goal. Else money does.
void find_bound(const Facts& facts, Advice& advice) {
  const AdvisorOptions& o = facts.options;
  const Felt f = felt(facts);
  const Pace pace(f);
  const double missed = std::max(pace.late(o), pace.slow(o));
  const bool all_deferrable =
      std::find(facts.deferrable.begin(), facts.deferrable.end(), false) == facts.deferrable.end();
  const std::string p90 = pace.text();
  advice.bound = Bound::cost;
  if (o.bound) {
    advice.bound = *o.bound, advice.why = "as asked";
  } else if (f.ttft.count() + f.e2e.count() == 0) {
    advice.why = "no latency is recorded, so money is what can be judged";
  } else if (all_deferrable || missed <= 1) {
    advice.why = (all_deferrable ? "nobody waits for these types; " : "latency meets its goals; ") + p90;
  } else {
    const Bound part = longer_part(f, pace, o);
    const double money = best(advice.levers, Metric::cost), time = best(advice.levers, metric_of(part));
    const std::string goals =
        "; goals " + seconds(o.ttft_goal_ms) + ", " + number(o.tpot_goal_ms) + " ms and " + seconds(o.e2e_goal_ms);
    if (missed < o.clearly_missed && money > time) {
      advice.why = p90 + goals + ": missed, but a lever saves " + percent(money) + " of the bill and none more than " +
                   percent(time) + " of that wait";
    } else {
      advice.bound = part;
      const double split = f.ttft_sum + f.decode_sum;
      advice.why = p90 + goals + "; " +
                   (split > 0 ? percent(f.ttft_sum / split) + " of the time goes before the first token"
                              : "how much of the time goes before the first token was not measured");
    }
  }
}

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

/// [types]: how many of the slowest hundredth of the sampled requests; by TTFT where that is the bound.
std::vector<double> tail_counts(const Facts& facts, Bound bound) {
  const auto slowness = [&](const Row& row) { return bound == Bound::ttft ? row.ttft_ms : row.e2e_ms; };
  std::vector<std::pair<double, std::uint32_t>> slow;
  for (const Row& row : facts.rows)
    if (!std::isnan(slowness(row))) slow.emplace_back(slowness(row), row.type);
  const std::size_t n = (slow.size() + 99) / 100;
  std::partial_sort(slow.begin(), slow.begin() + static_cast<std::ptrdiff_t>(n), slow.end(), std::greater<>());
  std::vector<double> counts(facts.workload.types().size());
  for (std::size_t i = 0; i < n; ++i) counts[slow[i].second] += 1.0 / static_cast<double>(n);
  return counts;
}

double share_of(const SliceAdvice& s, Bound bound) {
  return bound == Bound::cost ? s.cost : bound == Bound::ttft ? s.ttft : s.e2e;
}

std::vector<SliceAdvice> slices(const Facts& facts, Bound bound) {
  const SliceStats& all = facts.workload.total();
  const std::vector<double> tails = tail_counts(facts, bound);
  std::vector<SliceAdvice> list;
  for (std::size_t i = 0; i < tails.size(); ++i) {
    const SliceStats& t = facts.workload.types()[i];
    list.push_back({t.name, t.requests, share(t.cost, all.cost), share(t.ttft_ms_sum, all.ttft_ms_sum),
                    share(t.e2e_ms_sum, all.e2e_ms_sum), tails[i]});
  }
  std::stable_sort(list.begin(), list.end(),
                   [&](const SliceAdvice& a, const SliceAdvice& b) { return share_of(a, bound) > share_of(b, bound); });
  return list;
}

/// Prompt tokens that need not be computed give time to whoever waits or decodes beside them.
void relieve_others(Judgement& j, const Facts& facts) {
  if (!j.spared || facts.stalls.source == StallModel::Source::none) return;
  std::array<double, 3> share{};
  double all = 0;
  for (const Row& row : facts.rows) {
    all += row.prompt - row.cached;
    for (const Level level : {Level::low, Level::likely, Level::high})
      share[static_cast<std::size_t>(level)] += j.spared(row, level);
  }
  for (double& s : share) s /= std::max(1.0, all);
  j.reprice = [inner = std::move(j.reprice), spared = j.spared, share,
               relief = Relief{facts.stalls, facts.decode, facts.options.speculation.row.estimate}](const Row& row,
                                                                                                    Level level) {
    const Saved saved = inner(row, level);
    if (saved.e2e >= row.e2e_ms) return saved;  // nothing of it is left
    const Relief::Share gone{spared(row, level), share[static_cast<std::size_t>(level)]};
    const double wait = relief.wait_ms(row, gone, saved.ttft, level);
    return Saved{saved.cost, saved.ttft + wait, saved.e2e + wait + relief.decode_ms(row, gone, level)};
  };
  j.assumption +=
      "; " + percent(facts.stalls.share) + " of the time after the first token goes to other requests' prompts (" +
      (facts.stalls.source == StallModel::Source::recorded ? "recorded" : "estimated by the pace beside them") +
      ") and falls with them";
}

LeverAdvice judged(Lever lever, const Facts& facts) {
  Judgement j = judges[static_cast<std::size_t>(lever)](facts);
  if (j.reprice) relieve_others(j, facts);
  LeverAdvice advice{.lever = lever,
                     .settings = std::move(j.settings),
                     .assumption = std::move(j.assumption),
                     .experiment = std::move(j.experiment),
                     .unknown = std::move(j.unknown)};
  if (!j.reprice) return advice;
  Savings s = estimate(facts.rows, j.reprice);
  const auto touched = [](const std::optional<Interval>& i) { return i && (i->low != 0 || i->high != 0); };
  if (touched(s.cost)) advice.cost = s.cost;
  if (touched(s.ttft)) advice.ttft = s.ttft;
  if (touched(s.e2e)) advice.e2e = s.e2e;
  advice.ttft_unknown = !s.ttft;
  advice.e2e_unknown = !s.e2e;
  if (facts.workload.relative_prices() && advice.cost)
    advice.assumption += "; prices are relative, no model of the trace has one";
  return advice;
}

/// Those worth it first, best first.
void rank(std::vector<LeverAdvice>& levers, Metric metric, double worth) {
  for (LeverAdvice& l : levers) l.worth = l.on(metric) && l.on(metric)->estimate >= worth && l.on(metric)->low > 0;
  const auto key = [&](const LeverAdvice& l) {
    return std::pair(l.worth, l.on(metric) ? l.on(metric)->estimate : -1.0);
  };
  std::stable_sort(levers.begin(), levers.end(),
                   [&](const LeverAdvice& a, const LeverAdvice& b) { return key(a) > key(b); });
}

}  // namespace

std::string_view to_string(Bound bound) noexcept {
  return bound == Bound::ttft ? "ttft" : bound == Bound::tpot ? "tpot" : "cost";
}
std::string_view to_string(Metric metric) noexcept {
  return metric == Metric::cost ? "cost" : metric == Metric::ttft ? "ttft" : "e2e";
}
std::string_view to_string(Lever lever) noexcept { return lever_names[static_cast<std::size_t>(lever)]; }

std::optional<Lever> lever_named(std::string_view name) noexcept {
  const auto found = std::find(lever_names.begin(), lever_names.end(), name);
  if (found == lever_names.end()) return std::nullopt;
  return static_cast<Lever>(found - lever_names.begin());
}

const std::optional<Interval>& LeverAdvice::on(Metric metric) const {
  return metric == Metric::cost ? cost : metric == Metric::ttft ? ttft : e2e;
}

bool LeverAdvice::is_unknown(Metric metric) const {
  return !unknown.empty() || (metric == Metric::ttft && ttft_unknown) || (metric == Metric::e2e && e2e_unknown);
}

Metric Advice::metric() const { return metric_of(bound); }

const LeverAdvice& Advice::of(Lever lever) const {
  return *std::find_if(levers.begin(), levers.end(), [&](const LeverAdvice& l) { return l.lever == lever; });
}

Advice advise(const Workload& workload, const AdvisorOptions& options) {
  check(workload, options);
  Advice advice;
  const std::vector<Row>& rows = workload.state().sample.rows();
  Facts facts{.workload = workload, .rows = rows, .options = options};
  facts.stalls = fit_stalls(rows);
  facts.prefill = fit_prefill(rows, facts.stalls);
  facts.decode = fit_decode(rows, options.speculation.row, facts.stalls);
  facts.deferrable = deferrable_types(workload);
  for (std::size_t i = 0; i < lever_names.size(); ++i) advice.levers.push_back(judged(static_cast<Lever>(i), facts));
  find_bound(facts, advice);
  rank(advice.levers, advice.metric(), options.worth);
  advice.slices = slices(facts, advice.bound);
  advice.short_prefixes = find_short_prefixes(facts);
  advice.unknowable = workload.unknowable();
  return advice;
}

}  // namespace frugal

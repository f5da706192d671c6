// The advisor: is this workload bound by the first token, by the tokens after it, or by money; which request types eat
// it; and what would each lever save, with an interval, the assumption it rests on and the experiment that would confirm
// it. A lever is judged only by what the trace shows; where the trace does not show enough, that is said instead of a
// number. docs/advise.md has every formula.
//
// advise() is a pure function: safe from any thread, some 10 ms for the default sample.
#pragma once

#include <frugal/advise/workload.hpp>
#include <frugal/config.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

enum class Bound { ttft, tpot, cost };
/// What a saving is a share of: the bill, the sum of TTFTs, the sum of e2e times.
enum class Metric { cost, ttft, e2e };
enum class Lever { prefix_cache, cascade, task_model, speculation, cap, batch, answer_cache, context };

FRUGAL_API std::string_view to_string(Bound) noexcept;
FRUGAL_API std::string_view to_string(Metric) noexcept;
FRUGAL_API std::string_view to_string(Lever) noexcept;
/// None where no lever is called so.
FRUGAL_API std::optional<Lever> lever_named(std::string_view name) noexcept;

/// Shares of the metric's total: 0.3 = 30 % less; negative = more. A stretch of the same traffic as long as the trace
/// falls inside with probability `confidence_level`, given the assumption.
struct Interval {
  double estimate = 0, low = 0, high = 0;
};
inline constexpr double confidence_level = 0.9;

/// What speculation costs and hits where the trace has not measured it; the low and high ends are taken as the 5th and
/// 95th percentile.
struct SpeculationFigures {
  Interval acceptance{0.65, 0.45, 0.8};  ///< of a drafted token, given that those before it were accepted
  Interval draft{0.05, 0.0, 0.15};       ///< c: time of one drafted token / time of one decode step
  Interval row{0.06, 0.02, 0.15};        ///< v: time that one more row adds to a step / time of a step with one row
};

struct AdvisorOptions {
  std::optional<Bound> bound{};  ///< what to optimise; none = found from the goals below
  double ttft_goal_ms = 2000;    ///< nine of ten requests have their first token by then (MLPerf Inference's limit)
  double tpot_goal_ms = 100;     ///< nine of ten answers come at this pace or faster: ten tokens a second
  double e2e_goal_ms = 10000;    ///< nine of ten answers are whole by then (Nielsen 1993: attention is lost after 10 s)
  /// A goal that is missed by less than this factor does not bind where more of the bill can be saved than of the time:
  /// 1 for goals that are promised to somebody.
  double clearly_missed = 3;
  double worth = 0.05;        ///< a lever is recommended from this saving up
  double accept_score = 0.5;  ///< cascade: scores from here up count as good answers, where none was accepted yet
  SpeculationFigures speculation{};
};

/// How a lever is set: the cap in tokens of a request type, or the cascade's threshold.
struct LeverSetting {
  std::string what;
  double value = 0;
};

struct LeverAdvice {
  Lever lever{};
  std::optional<Interval> cost{}, ttft{}, e2e{};  ///< none: it does not touch it, or the trace cannot say
  bool worth = false;  ///< on what the workload is bound by: estimate at least AdvisorOptions::worth, and low above 0
  std::vector<LeverSetting> settings{};
  std::string assumption{}, experiment{};
  std::string unknown{};  ///< why nothing can be said; empty where something was
  /// What it saves of a time is unknown, because the trace does not say what that time is made of.
  bool ttft_unknown = false, e2e_unknown = false;

  const std::optional<Interval>& on(Metric metric) const;
  bool is_unknown(Metric metric) const;
};

/// Prompts of one type whose shared beginning is just too short for a provider's cache (by at most a quarter of its
/// least length): with a few tokens more, which are the same in all of them, the cache would find it.
struct ShortPrefix {
  std::string type{};
  std::uint64_t requests = 0;                         ///< of the sample
  std::uint64_t shared_tokens = 0, least_tokens = 0;  ///< median of what they share; what the cache needs
  Interval cost{};                                    ///< what the bill would fall by, the added tokens paid

  std::uint64_t lacks() const { return least_tokens - shared_tokens; }
};

/// One request type and its shares.
struct SliceAdvice {
  std::string type;
  std::uint64_t requests = 0;
  double cost = 0, ttft = 0, e2e = 0;  ///< shares of the totals
  double tail = 0;                     ///< share of the slowest hundredth of requests
};

struct Advice {
  Bound bound{};
  std::string why{};                          ///< the figures that decided the bound
  std::vector<SliceAdvice> slices{};          ///< the greatest share of the bound first
  std::vector<LeverAdvice> levers{};          ///< all eight; those worth it first, best first
  std::vector<ShortPrefix> short_prefixes{};  ///< the greatest saving first
  std::vector<std::string> unknowable{};

  Metric metric() const;  ///< by which levers are ranked: cost, ttft, or e2e where bound by TPOT
  bool none_worth() const { return levers.empty() || !levers.front().worth; }
  const LeverAdvice& of(Lever lever) const;
};

/// Throws Error(invalid_argument) where the workload is not finished or an option is out of range.
FRUGAL_API Advice advise(const Workload& workload, const AdvisorOptions& options = {});

}  // namespace frugal

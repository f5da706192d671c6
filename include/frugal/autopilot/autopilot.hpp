// Autopilot: a cascade that is on only while its bound is certified and audited.
//
//   shadow      the last tier answers; cheaper ones are asked too, at low priority, and what they said is recorded
//   on          a fitted policy decides; a share of the requests is audited: the last tier is asked as well
//   tightened   the audits raise doubt: half as many answers are accepted
//   off         the audits show that the bound is broken: the last tier answers everything, until restart()
//
// It is never on without a feasible certificate. Each change of stage is logged and counted. Right is what agrees with
// the last tier's answer, or what AutopilotOptions::wrong makes of the two. Audits are paid for: stats() has their usage;
// the caller's ledger has its own attempts only.
//
// Threads: as Endpoint. maintain() fits, which takes seconds: call it from a thread that drives nothing, whenever
// fit_due() is true. Cost: a copy of each request that is audited or shadowed, and its answers.
#pragma once

#include <frugal/calibrate/fit.hpp>
#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/ledger.hpp>
#include <frugal/endpoint/endpoint.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

enum class PilotStage : std::uint8_t { shadow, on, tightened, off };
FRUGAL_API std::string_view to_string(PilotStage stage) noexcept;

struct AutopilotOptions {
  std::string name = "autopilot";
  std::vector<Endpoint*> tiers;           ///< cheapest first, at least two; lent
  std::vector<std::string> models{};      ///< [tiers]: model_identity of each; empty = none is named
  std::optional<FittedCascade> fitted{};  ///< to begin with; none = begins in shadow
  FitOptions fit{};                       ///< for fits on what shadow recorded
  /// Of the limit in `fit`, kept back for what is accepted between a drift and the moment at which audits show it: fits
  /// and audits hold limit * (1 - reserve), so that the limit itself is kept over a run with a drift. In [0, 1).
  double reserve = 0.4;
  std::size_t shadow_outcomes = 1000;          ///< recorded before the first fit; at least 20
  std::size_t most_outcomes = 20000;           ///< kept; where no fit was feasible by then, recording ends
  double shadow_share = 1, audit_share = 0.1;  ///< of the requests, by a hash of their numbers
  /// While it is on, so many of the requests go to the last tier whatever the policy thinks, by a hash of their numbers:
  /// a control group, so that stats() has the saving on today's traffic without bias. In [0, 1); 0 = none.
  double control_share = 0;
  double false_alarm =
      0.05;  ///< chance that audits ever turn it off while the bound is kept; doubt comes at 4 times that
  std::int32_t priority = -1000;  ///< taken off the request's own, for audits and shadow runs
  /// How wrong `answer` is where the last tier said `reference`, in [0, 1]; none = cannot be told, and is not counted.
  /// Null: 1 where they are not the same_answer().
  std::function<std::optional<double>(const Request& request, std::string_view answer, std::string_view reference)>
      wrong{};
  /// Of an attempt, for fits, or of a whole request, for stats(); null = its seconds.
  std::function<double(const Finish&)> cost{};
  std::uint64_t seed = 1;        ///< of the choice of what is audited
  const Clock* clock = nullptr;  ///< null = the process's steady clock; must outlive it
  LogSink log{};
};

/// What requests cost, as AutopilotOptions::cost says.
struct PilotCost {
  std::uint64_t n = 0;
  double mean = 0, deviation = 0;  ///< of a request; the standard deviation
};

struct AutopilotStats {
  PilotStage stage = PilotStage::shadow;
  std::uint64_t requests = 0, accepted = 0;     ///< ended; answered below the last tier
  std::uint64_t audits = 0, audits_failed = 0;  ///< counted; not counted, because the last tier or the grade failed
  double audited_error = 0;                     ///< mean grade of the counted audits since it was turned on
  double p_value = 1;                           ///< of "the bound is kept"; valid at every moment (DriftTest)
  /// Of the answers accepted since it was turned on, as far as their audits have ended: at most so many were wrong, with
  /// the guarantee's confidence at all moments together, whatever drifted (AuditAccount). None in shadow and off.
  std::optional<double> wrong_at_most{};
  /// Over runs of at least so many answers the limit in AutopilotOptions::fit is kept with that confidence, drift or not
  /// (answers = accepted ones for max_error, requests for max_loss). Fewer audits or less reserve make it larger; none =
  /// without a reserve there is no such promise.
  std::optional<std::uint64_t> promised_from{};
  std::uint64_t recorded = 0;  ///< outcomes at hand for a fit
  std::uint64_t tightened = 0, turned_off = 0, fits = 0, infeasible = 0;
  /// Of answers given while it was on or tightened: by the policy, and of the control group. The policy's cost share is
  /// the ratio of the means; audits are not in it.
  PilotCost policy_cost{}, control_cost{};
  Usage audit_usage{};  ///< of audits and shadow runs: paid for beside the answers
};

class FRUGAL_API Autopilot final : public Endpoint {
 public:
  /// Throws Error(invalid_argument) that names the option, and what FittedCascade::policy throws.
  explicit Autopilot(AutopilotOptions options);
  ~Autopilot() override;
  std::string_view name() const override;
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  Progress step() override;
  void watch(Waker& waker, bool every_step) override;
  void unwatch(Waker& waker) override;
  void wake() override;
  std::optional<TimePoint> next_deadline() const override;
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;

  AutopilotStats stats() const;
  /// Outcomes enough for a fit are at hand.
  bool fit_due() const;
  /// Fits, where that is due, and turns it on where the certificate is feasible; else records twice as many. Seconds.
  /// True where the stage has changed. One call at a time; another one returns false at once.
  bool maintain();
  /// Forgets what was recorded and certified, and begins in shadow again.
  void restart();
  /// The policy that is on; none in shadow and off.
  std::optional<FittedCascade> fitted() const;

  struct Shared;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal

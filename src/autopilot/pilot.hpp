// What the requests, audits and shadow runs of an autopilot share, and the policy by which its cascade decides.
#pragma once

#include <frugal/autopilot/autopilot.hpp>
#include <frugal/calibrate/audit_account.hpp>
#include <frugal/calibrate/drift.hpp>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/guarded.hpp"

namespace frugal {

struct Autopilot::Shared : std::enable_shared_from_this<Autopilot::Shared> {
  explicit Shared(AutopilotOptions o);

  /// Whether request number `n` belongs to a share of all.
  bool is_chosen(std::uint64_t n, double share) const;
  std::size_t last() const { return tiers.size() - 1; }
  std::optional<std::size_t> tier_named(std::string_view endpoint) const;
  bool bounds_loss()
      const;  ///< the policy that is on bounds a loss over all requests, not an error among accepted ones
  double price(const Finish& finish) const;
  /// The grade of an answer; none = cannot be told, or the callback threw.
  std::optional<double> grade(const Request& request, std::string_view answer, std::string_view reference) const;
  void say(LogLevel level, const std::string& what) const;

  /// A request of the caller's has ended. `accepted` = below the last tier, `audited` = an audit of it follows, whose
  /// number in the account is returned; none = the account does not speak of it.
  std::optional<std::uint64_t> count(bool accepted, bool audited, std::uint64_t epoch);
  /// A whole answer of the policy's, or of the control group's, was given while it was on.
  void spent(const Finish& finish, bool control);
  /// Whether the cascade's request of this number belongs to the control group.
  bool is_control(RequestId id) const;
  /// An audit has ended; `wrong` none = it told nothing. `epoch` = when its answer was accepted.
  struct Audit {
    std::optional<double> wrong{};
    std::uint64_t epoch = 0;
    std::optional<std::uint64_t> number{};  ///< in the account
  };
  void audited(const Audit& audit, const Usage& usage);
  void recorded(Outcome outcome, const Usage& usage, std::uint64_t epoch);
  void failed(const Usage& usage);
  /// Under the lock.
  void turn_on(FittedCascade fitted);
  void set_stage(PilotStage next, const std::string& why);
  void turn_off(const std::string& why);
  void settle(const Audit& audit);
  std::string audits_so_far() const;

  AutopilotOptions options;
  std::vector<EndpointRef> tiers;
  std::vector<ServedTier> served;
  LogSink log;
  std::atomic<std::uint64_t> next{1};
  std::atomic<PilotStage> stage{PilotStage::shadow};  // written under the lock

  mutable std::mutex mutex;  // guards the rest
  AutopilotStats stats{};
  std::optional<FittedCascade> fitted{};
  std::shared_ptr<CascadePolicy> open{}, tight{};
  std::optional<DriftTest> drift{};
  // The account of what got through since it was turned on. Audits end in any order; the account has those before the
  // oldest one that still runs, so that what is slow to end is not left out.
  struct Open {
    std::uint64_t answers = 0;  // that it was, of those that the promise speaks of
    bool ended = false;
    std::optional<double> wrong{};
  };
  std::optional<AuditAccount> account{};
  double promised = 0;  // limit of the account
  std::optional<std::uint64_t> promised_from{};
  std::uint64_t answers = 0, first_open = 0;  // answers that the promise speaks of; the number of open.front()
  std::deque<Open> open_audits{};
  struct Costs {  // Welford's sums
    std::uint64_t n = 0;
    double mean = 0, squares = 0;
    void add(double cost);
    PilotCost seen() const;
  };
  Costs policy_costs{}, control_costs{};
  double wrong_sum = 0;
  std::uint64_t counted = 0;  // audits since it was turned on
  Outcomes outcomes{};
  std::size_t wanted = 0;   // outcomes before a fit is due
  std::uint64_t epoch = 0;  // counts restarts and fits: what began before one is not counted after it
  bool fitting = false;
};

/// The cascade's policy: that of the stage.
std::shared_ptr<CascadePolicy> pilot_policy(std::shared_ptr<Autopilot::Shared> shared);

/// Puts a sink before the caller's that counts, audits and records; the request is copied where it is chosen.
std::shared_ptr<Sink> pilot_sink(std::shared_ptr<Autopilot::Shared> shared, const Request& request,
                                 std::shared_ptr<Sink> out);

}  // namespace frugal

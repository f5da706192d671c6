// Cascade: the cheapest endpoint first, the next one where a policy is not content. Escalates by text (the request is
// sent again, so vocabularies may differ). The caller sees only the answer that is given, never one that was rejected.
// Every attempt is in the ledger, the rejected ones with what they cost.
//
// An answer that was rejected is kept: where the escalation is refused or fails and nothing better came, the caller gets
// it, and Finish::detail says what happened. `refused` means that no tier began.
//
// Request::model: empty or the cascade's own name lets the policy choose; the name of a tier, or of a model that a tier
// serves, starts there (the policy may still escalate from it); any other is refused (docs/decisions/007).
//
// Threads: as Endpoint. An attempt ends inside a step of its tier; the next tier is started after that step, outside it,
// by a thread that waits or, without one, by the thread that made the step. Cost: a request is copied for each attempt.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/policy/cascade.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace frugal {

/// What the caller sees of an answer before its end. TTFT and TPOT are those the caller saw.
enum class CascadeStreaming : std::uint8_t {
  /// Nothing: the answer that is given comes in one piece. TTFT is the whole time; there is no TPOT.
  buffer,
  /// What nothing can reject any more: the last tier's answer from its first piece, another one from the moment at which
  /// the policy commits to it (Verdict::commit, e.g. commit_after), what was held back until then in one piece. TTFT is
  /// that moment; TPOT counts the tokens after that piece. Where an answer fails after its beginning was passed on, the
  /// request ends with an error, since a rejected answer that was kept can no longer take its place.
  commit,
  /// As commit; where the request allows it (Request::allow_revisions), also every other tier's answer as it comes. One
  /// that is rejected after all is taken back by the next piece (Delta::revises). TTFT and TPOT are those of the answer
  /// that stays. A rejected answer that was kept takes the place of a later one that failed, as under buffer.
  revise,
};

struct CascadeOptions {
  std::string name = "cascade";
  std::vector<Endpoint*> tiers;  ///< cheapest first; lent. One that is destroyed first refuses from then on
  std::shared_ptr<CascadePolicy> policy;
  const Clock* clock = nullptr;  ///< null = the process's steady clock; must outlive the cascade's requests
  LogSink log{};                 ///< for what a policy throws where no answer is lost by it
  CascadeStreaming streaming = CascadeStreaming::buffer;
};

class FRUGAL_API Cascade final : public Endpoint {
 public:
  /// What the requests that run share with the cascade; opaque.
  struct Shared;

  /// Throws Error(invalid_argument) without tiers or policy.
  explicit Cascade(CascadeOptions options);
  /// Ends every live request with FinishReason::cancelled. Not from a callback.
  ~Cascade() override;
  std::string_view name() const override;
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  /// Tiers take turns, a step each, so that one that is busy with other traffic holds up no attempt at the next.
  Progress step() override;
  void watch(Waker& waker, bool every_step) override;
  void unwatch(Waker& waker) override;
  void wake() override;
  std::optional<TimePoint> next_deadline() const override;
  /// Running and waiting summed over the tiers (an engine that is two of them counts twice); room as the first has it.
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;

 private:
  std::shared_ptr<Shared> shared_;
};

}  // namespace frugal

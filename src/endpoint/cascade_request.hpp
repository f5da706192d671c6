// CascadeRequest: one request's way through the tiers of a cascade. It keeps the answer of the tier that is trying back
// until the policy accepts it. Holds all it needs itself, so the cascade may be destroyed while it runs.
#pragma once

#include <frugal/endpoint/cascade.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/guarded.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/members.hpp"

namespace frugal {

class CascadeRequest;

struct Cascade::Shared {
  explicit Shared(CascadeOptions o);

  std::string name;
  std::shared_ptr<CascadePolicy> policy;
  Members tiers;
  GuardedClock clock;
  LogSink log;
  const CascadeStreaming streaming;
  std::mutex asking;  // one question to the policy at a time

  std::mutex mutex;  // guards the two below
  std::set<std::shared_ptr<CascadeRequest>> live;
  bool closed = false;
  std::atomic<std::uint64_t> next_id{1};
};

class CascadeRequest final : public std::enable_shared_from_this<CascadeRequest> {
 public:
  CascadeRequest(std::shared_ptr<Cascade::Shared> cascade, RequestId id, Request request, std::shared_ptr<Sink> out);

  /// Asks where to begin, and begins.
  void start();
  void cancel();
  /// The cascade is being destroyed: ends at once, as cancelled.
  void disown();

 private:
  struct Try;  // the sink of one attempt
  /// One attempt that has ended; its entries in the ledger are [from, to).
  struct Ended {
    std::size_t tier = 0, from = 0, to = 0;
    std::optional<double> score{};
    Answer answer{};  // without its scores
    Duration took{};
  };
  struct State {             // under mutex_
    std::size_t number = 0;  // of the attempt that runs; 0 = none yet
    bool ended = true;       // that attempt
    bool cancelled = false;
    bool over = false;
    std::optional<Verdict> abandoned{};  // the attempt, while it runs
    std::optional<Error> failed{};       // what a policy threw while it runs
    Call current{};
  };

  expected<std::size_t> first_tier();
  std::optional<std::size_t> named_tier();
  void begin(std::size_t tier);
  void prompt(std::size_t number, std::span<const Token> tokens);
  void piece(std::size_t number, Delta delta);
  void watch_running(std::size_t number);
  void pass_on(std::size_t number, Delta delta);
  /// No tier comes after the attempt that runs.
  bool is_last() const { return tier_ + 1 == tiers() || tries_.size() + 1 >= tiers(); }
  void finished(std::size_t number, Finish end);
  void conclude(Finish end, const State& at);
  void record(const Finish& end, std::optional<double> score);
  void hand_over(const Finish& end);
  void settle(Finish end);
  bool give_kept(const Finish& end);
  void give(Finish end, std::optional<std::size_t> given);
  void tell(const Finish& end, std::optional<std::size_t> given);
  bool is_current(std::size_t number);
  std::size_t tiers() const { return cascade_->tiers.size(); }
  RequestView view() const;
  AttemptView attempt(const RequestView& view, std::optional<FinishReason> finish) const;
  Error policy_error() const;

  const std::shared_ptr<Cascade::Shared> cascade_;
  const RequestId id_;
  Request request_;
  const std::string model_;  // as the caller asked
  const std::shared_ptr<GuardedSink> out_;
  const bool asked_for_scores_;
  const bool revises_;  // pieces may be shown and taken back
  bool watches_ = false;
  const TimePoint submitted_;

  // of the attempt that runs, touched by its thread
  std::size_t tier_ = 0;
  TimePoint began_{};
  Answer answer_{};
  std::vector<Ended> tries_{};
  std::optional<std::size_t> kept_{};   // the latest whole answer that was rejected: a place in tries_
  std::optional<Verdict> committed_{};  // to the attempt that runs
  std::optional<std::size_t>
      shown_{};                     // the attempt of which the caller has pieces: its place in tries_, once it is there
  std::uint64_t passed_ = 0;        // how many
  std::uint64_t first_tokens_ = 1;  // of the first of them
  TimePoint first_seen_{};
  std::atomic<bool> passing_on_{false};  // pieces go to the caller as they come

  std::mutex mutex_;
  State state_{};
  Ledger ledger_{};     // under mutex_
  Duration queued_{};   // under mutex_
  std::mutex telling_;  // held while the caller's sink is called
};

}  // namespace frugal

// Split: an A/B test. Each request goes to one of several endpoints (arms), at stated shares. Which one is decided by a
// hash of what the request belongs to, so that a conversation stays with its arm, a retry meets the same arm again, and
// nothing about the request itself has a say: a difference between the arms is then caused by the arms.
//
// To measure: put a Metered around each arm (one Meter), and compare the meter's rows by endpoint, or the traces by the
// label that Split adds. A Metered around the Split has the requests of both arms in one row.
//
// Threads: as Endpoint. Cost: a hash of the unit a request.
#pragma once

#include <frugal/config.hpp>
#include <frugal/endpoint/endpoint.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

struct SplitArm {
  Endpoint* endpoint = nullptr;  ///< lent. One that is destroyed first refuses from then on
  double share = 0;              ///< of the units; at least 0. The shares' sum counts as 1
};

struct SplitOptions {
  std::string name = "split";
  std::vector<SplitArm> arms;  ///< with different names
  /// Another text makes another division: give each experiment its own, or two that run at once would always put the
  /// same units together.
  std::string experiment{};
  /// What stays together, e.g. a user's or a conversation's number. Null: the request's label "conversation", else its
  /// id. An empty unit, or a callback that throws: the request counts as a unit of its own.
  std::function<std::string(const Request& request)> unit{};
};

class FRUGAL_API Split final : public Endpoint {
 public:
  /// Throws Error(invalid_argument) that names the option.
  explicit Split(SplitOptions options);
  ~Split() override;
  std::string_view name() const override;
  /// The arm's answer as it is. The request gets the label {name(), the arm's name}. Request::model: empty or name()
  /// lets the hash choose; an arm's name goes there, unlabelled, since it is no part of the experiment; any other name
  /// is left for the chosen arm to know or refuse.
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  Progress step() override;
  void watch(Waker& waker, bool every_step) override;
  void unwatch(Waker& waker) override;
  void wake() override;
  std::optional<TimePoint> next_deadline() const override;
  /// Running and waiting summed; accepting only while all arms with a share are, since a share that is refused would
  /// bias what is left.
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;

  /// The arm that a unit goes to: a place in SplitOptions::arms. Raising the first arm's share moves units to it and
  /// between no others, where there are two arms.
  std::size_t arm_of(std::string_view unit) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal

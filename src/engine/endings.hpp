// Endings: what leaves the engine: deltas while an answer runs, and its one Finish. Driving thread only.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/engine/options.hpp>

#include <optional>
#include <string>

#include "engine/kv_lane.hpp"
#include "engine/sequence.hpp"
#include "engine/speculation.hpp"

namespace frugal {

/// What the parts of the loop work on. All of it outlives them.
struct Works {
  const EngineOptions& options;
  const Clock& clock;
  KvStore& store;
  Speculation* speculation;  ///< null = lever off
  EngineStats& stats;
};

class Endings {
 public:
  explicit Endings(const Works& works)
      : options_(works.options),
        clock_(works.clock),
        store_(works.store),
        speculation_(works.speculation),
        stats_(works.stats) {}

  /// Sends what the sequence holds of its newest pass. A reader that throws has given up: its request is cancelled.
  static void send(Sequence& s) noexcept;
  /// Ends the sequence, unless it has ended: gives its pages back (offering them to the prefix index) and sends what is
  /// left and the Finish. Whatever fails on the way, an allocation say, there is one Finish.
  void finish(Sequence& s, FinishReason reason, std::string detail = {}, std::optional<Error> error = {}) noexcept;
  /// The same with FinishReason::error and the exception being handled. Call only inside a catch block.
  void fail(Sequence& s, const char* where) noexcept;
  /// What has been computed of its tokens enters the prefix index.
  void offer(Sequence& s) noexcept;

 private:
  Finish finish_of(Sequence& s, std::string detail, std::optional<Error> error);
  void tell_policy(const Sequence& s, const Finish& end) noexcept;
  static std::optional<Duration> stalled(const Sequence& s);

  const EngineOptions& options_;
  const Clock& clock_;
  KvStore& store_;
  Speculation* speculation_;  // null = lever off
  EngineStats& stats_;
};

}  // namespace frugal

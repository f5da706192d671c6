// Worlds: synthetic services with one known best lever each (or none), and the truth about what pulling it does. A
// world draws its hidden parameters from its seed; a period is a stretch of its traffic, with or without the lever. The
// same period number means the same demand, so that both arms of an experiment can be compared request by request.
#pragma once

#include <frugal/advise/advisor.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace frugal::test {

struct Period {
  std::vector<TraceRecord> trace;
  double cost = 0, ttft = 0, e2e = 0;  ///< sums; cost in units of an input token, by arithmetic of the world's own
};

class World {
 public:
  virtual ~World() = default;
  /// `pulled`: how the lever was set, where it was pulled; null = it was not.
  virtual Period period(std::uint64_t number, const LeverAdvice* pulled) const = 0;
};

struct WorldKind {
  std::string name;
  std::optional<Lever> best;  ///< none: no lever is worth it
  std::function<std::unique_ptr<World>(std::uint64_t seed)> make;
  AdvisorOptions asked{};
};

/// One per lever, two where none helps, and mixed ones.
const std::vector<WorldKind>& world_kinds();

/// A period's trace as the advisor meets it.
Workload observed(const Period& period);

}  // namespace frugal::test

// What became of a lever: the same service before and after it was pulled, beside what the advisor predicted.
//
// compare() is a pure function: safe from any thread, some 10 ms for the default sample.
#pragma once

#include <frugal/advise/advisor.hpp>
#include <frugal/advise/workload.hpp>
#include <frugal/config.hpp>

#include <optional>
#include <string>
#include <vector>

namespace frugal {

/// What became of a metric between two traces: mean per request, each type weighted as in the first trace, so that
/// another mix of types is not taken for a saving.
struct Change {
  Metric metric{};
  double before = 0, after = 0;  ///< mean of a request: dollars (or relative units), or ms
  Interval saving{};
  std::optional<Interval> predicted{};
  bool as_predicted = false;  ///< the prediction's interval and the outcome's overlap
};

struct LeverOutcome {
  std::optional<Lever> lever{};
  std::vector<Change> changes{};     ///< those of cost, ttft and e2e that both traces recorded
  std::vector<std::string> notes{};  ///< types that only one of the traces has
};

/// Compares what `before` predicted of `lever` (none = no prediction) with `after`, the same service with it pulled.
FRUGAL_API LeverOutcome compare(const Workload& before, const Workload& after, const Advice* predicted = nullptr,
                                std::optional<Lever> lever = {});

}  // namespace frugal

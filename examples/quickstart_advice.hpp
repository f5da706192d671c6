// What the quickstart does with the advisor: recommend a lever from the plain run, then compare its prediction with the
// run that pulled it.
#pragma once

#include "quickstart_report.hpp"

#include <frugal/advise/report.hpp>

#include <optional>
#include <string>

namespace quickstart {

/// The example prices, for the one model there is.
inline frugal::PriceBook example_prices(const std::string& model) {
  frugal::Rates rates;
  rates.input = prices.input, rates.cached_read = prices.cached_input, rates.output = prices.output;
  return frugal::PriceBook().with(model, rates);
}

inline frugal::Workload workload_of(const Run& run, const std::string& model) {
  frugal::WorkloadOptions options;
  options.prices = example_prices(model);
  options.cache = frugal::engine_cache_rules();  // a price does not make it a hosted model
  frugal::Workload workload(std::move(options));
  for (const frugal::TraceRecord& record : run.trace) workload.add(record);
  workload.finish();
  return workload;
}

inline std::string percent(double share) { return format("%.1f %%", 100.0 * share); }
inline std::string percent(const frugal::Interval& i) {
  return percent(i.estimate) + format(" (%.1f to %.1f)", 100.0 * i.low, 100.0 * i.high);
}

inline std::string verdict(const frugal::Change& change) {
  if (change.as_predicted) return "as predicted";
  return change.saving.low > change.predicted->high ? "more than predicted" : "less than predicted";
}

class Advised {
 public:
  Advised(const Run& plain, std::string model)
      : model_(std::move(model)), before_(workload_of(plain, model_)), advice_(frugal::advise(before_)) {}

  /// Null where no lever is worth it.
  const frugal::LeverAdvice* recommended() const { return advice_.none_worth() ? nullptr : &advice_.levers.front(); }

  std::string recommendation(bool is_pulled) const {
    const std::string bound = "the plain run is bound by " + std::string(to_string(advice_.bound));
    if (recommended() == nullptr) return bound + ": no lever is worth it\n";
    const auto saving = percent(*recommended()->on(advice_.metric()));
    return bound + ": " + std::string(to_string(recommended()->lever)) + " should save " + saving + " of " +
           std::string(to_string(advice_.metric())) + (is_pulled ? "\n" : ", but it is not built into this desk\n");
  }

  /// The same questions with the recommended lever.
  void measured(const Run& run) {
    after_.emplace(workload_of(run, model_));
    outcome_ = frugal::compare(before_, *after_, &advice_, recommended()->lever);
  }

  std::string text() const {
    std::string text = recommendation(outcome_.has_value());
    if (!outcome_) return text;
    for (const frugal::Change& change : outcome_->changes)
      if (change.predicted)
        text += format("  %-5s predicted ", std::string(to_string(change.metric)).c_str()) +
                percent(*change.predicted) + ", measured " + percent(change.saving) + ": " + verdict(change) + "\n";
    return text;
  }

  std::string html() const {
    return frugal::report_html({.title = "quickstart: a support desk",
                                .workload = &before_,
                                .advice = &advice_,
                                .after = after_ ? &*after_ : nullptr,
                                .outcome = outcome_ ? &*outcome_ : nullptr,
                                .before_name = "plain",
                                .after_name = "advised"});
  }

 private:
  std::string model_;
  frugal::Workload before_;
  frugal::Advice advice_;
  std::optional<frugal::Workload> after_{};
  std::optional<frugal::LeverOutcome> outcome_{};
};

}  // namespace quickstart

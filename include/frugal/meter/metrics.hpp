// The meter's numbers for a monitoring system: OpenMetrics text to be scraped, or OTLP JSON to be pushed to an
// OpenTelemetry collector. One table holds every name in both worlds, because OpenTelemetry's names for generative
// models are still in development.
//
// Stateless; reading a meter takes its lock for as long as copying its sums takes.
#pragma once

#include <frugal/config.hpp>
#include <frugal/meter/budget.hpp>
#include <frugal/meter/meter.hpp>

#include <span>
#include <string>
#include <string_view>

namespace frugal {

enum class MetricKind { counter, gauge, histogram };

/// One metric: its name as OpenMetrics family and in OpenTelemetry, its unit in UCUM, what it says.
struct MetricName {
  MetricKind kind{};
  std::string_view name{};  ///< without the suffix _total
  std::string_view otel{};
  std::string_view unit{};  ///< "s", "{token}", "{USD}", ...
  std::string_view help{};
};

/// All metrics, in the order in which they are written.
FRUGAL_API std::span<const MetricName> metric_names();

struct MetricsOptions {
  MeterBy by{};                    ///< labels; rows that differ only in others are added up
  bool otel_names = false;         ///< OpenMetrics text with OpenTelemetry's names, dots as underscores
  const Budget* budget = nullptr;  ///< its limits as well
};

/// The exposition format of OpenMetrics 1.0, with its final "# EOF"; serve it as
/// "application/openmetrics-text; version=1.0.0; charset=utf-8". Histograms are counted from sketches, so a bucket's
/// edge is exact to the meter's alpha. Percentiles of the last window that rest on too few values are left out.
FRUGAL_API std::string open_metrics(const Meter& meter, const MetricsOptions& options = {});

/// An ExportMetricsServiceRequest as JSON, to be posted to a collector's /v1/metrics; sums are cumulative since the
/// meter was made.
FRUGAL_API std::string otlp_json(const Meter& meter, const MetricsOptions& options = {});

}  // namespace frugal

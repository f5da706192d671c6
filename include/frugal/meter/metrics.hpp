// The meter's numbers for a monitoring system: OpenMetrics text to be scraped, or OTLP JSON to be pushed to an
// OpenTelemetry collector. One table holds every name in both worlds, because OpenTelemetry's names for generative
// models are still in development.
//
// Stateless; reading a meter takes its lock for as long as copying its sums takes.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/error.hpp>
#include <frugal/meter/budget.hpp>
#include <frugal/meter/meter.hpp>

#include <cstdint>
#include <optional>
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

/// How busy an engine or another endpoint is at this moment, as the host reads it from Engine::stats() or
/// Endpoint::load(). None = unknown, and then no sample is written.
struct LoadGauges {
  std::string endpoint{};                           ///< label; must differ between the entries of one export
  std::optional<std::uint64_t> running{};           ///< requests that are being answered
  std::optional<std::uint64_t> waiting{};           ///< requests that wait for their admission
  std::optional<std::uint64_t> kv_bytes_total{};    ///< size of the KV pool
  std::optional<std::uint64_t> kv_bytes_leased{};   ///< part of it that running requests hold
  std::optional<std::uint64_t> kv_bytes_indexed{};  ///< part of it that holds prefixes for later requests
  std::optional<std::uint64_t> free_tokens{};       ///< tokens of prompt and answer for which there is room
};

/// A budget to be watched, lent for the call.
struct BudgetGauges {
  const Budget* budget = nullptr;
  std::string
      model{};  ///< label: what it holds for; empty = everything. Must differ between budgets whose limits do not
};

/// What was to be read from a provider's prompt cache, and what was billed, of the requests of one type so far.
struct ProviderCacheCounts {
  std::string endpoint{}, type{};  ///< labels; together they must differ
  std::uint64_t requests = 0;      ///< whose usage the provider reported
  std::uint64_t missed = 0;        ///< billed for less than half of what was expected
  std::uint64_t ignored = 0;       ///< marked and long enough, neither written nor read
  std::uint64_t too_short = 0;     ///< just below the provider's least length
  std::uint64_t expected_read = 0, billed_read = 0, billed_write = 0;  ///< tokens
};

/// Answers of a server that were errors. Of each pair there is one.
struct ErrorAnswers {
  int status = 0;  ///< of HTTP; 200 where a stream had begun
  Errc code{};
  std::uint64_t count = 0;
};

struct MetricsOptions {
  MeterBy by{};                             ///< labels; rows that differ only in others are added up
  bool otel_names = false;                  ///< OpenMetrics text with OpenTelemetry's names, dots as underscores
  std::span<const BudgetGauges> budgets{};  ///< their limits as well; lent for the call, like what follows
  std::span<const LoadGauges> loads{};      ///< one for each endpoint to be watched
  std::span<const ProviderCacheCounts> provider_caches{};
  std::span<const ErrorAnswers> errors{};
};

/// The exposition format of OpenMetrics 1.0, with its final "# EOF"; serve it as
/// "application/openmetrics-text; version=1.0.0; charset=utf-8". Histograms are counted from sketches, so a bucket's
/// edge is exact to the meter's alpha. Percentiles of the last window that rest on too few values are left out. Names
/// of any bytes become valid label values: bytes that are no UTF-8 and control characters are spelled \xNN.
FRUGAL_API std::string open_metrics(const Meter& meter, const MetricsOptions& options = {});

/// An ExportMetricsServiceRequest as JSON, to be posted to a collector's /v1/metrics; sums are cumulative since the
/// meter was made.
FRUGAL_API std::string otlp_json(const Meter& meter, const MetricsOptions& options = {});

}  // namespace frugal

// What there is to export, before it takes a format: families of samples with their labels.
#pragma once

#include <frugal/meter/metrics.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace frugal {

struct HistogramSample {
  std::vector<double> bounds{};        ///< upper edges, rising; a last bucket without an edge follows
  std::vector<std::uint64_t> up_to{};  ///< [bounds.size()]: values at most the edge
  std::uint64_t count = 0;
  double sum = 0;
};

using Labels = std::vector<std::pair<std::string_view, std::string>>;

struct MetricSample {
  Labels labels{};
  std::variant<double, HistogramSample> value{};
};

struct Family {
  const MetricName* name = nullptr;
  std::vector<MetricSample> samples{};
};

/// A label's name in OpenTelemetry.
std::string_view otel_attribute(std::string_view label);

/// Families without samples are left out.
std::vector<Family> families_of(const Meter& meter, const MetricsOptions& options, double* seconds);

}  // namespace frugal

// OTLP 1.x metrics as JSON: opentelemetry-proto's ExportMetricsServiceRequest, 64-bit integers as text as its JSON
// mapping asks.
#include <frugal/meter/metrics.hpp>

#include <chrono>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/version_text.hpp"
#include "meter/families.hpp"

namespace frugal {
namespace {

using Json = nlohmann::ordered_json;

struct Span {
  std::string start, end;  // nanoseconds of Unix time
};

Json attributes(const Labels& labels) {
  Json out = Json::array();
  for (const auto& [name, value] : labels)
    out.push_back({{"key", otel_attribute(name)}, {"value", {{"stringValue", value}}}});
  return out;
}

// Protobuf's JSON mapping spells what JSON has no number for.
Json number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

Json point(const MetricSample& s, const Span& span) {
  Json p{{"attributes", attributes(s.labels)}, {"startTimeUnixNano", span.start}, {"timeUnixNano", span.end}};
  if (const double* value = std::get_if<double>(&s.value)) {
    p["asDouble"] = number(*value);
    return p;
  }
  const auto& h = std::get<HistogramSample>(s.value);
  Json counts = Json::array();
  std::uint64_t before = 0;
  for (const std::uint64_t n : h.up_to) counts.push_back(std::to_string(n - std::exchange(before, n)));
  counts.push_back(std::to_string(h.count - before));
  p["count"] = std::to_string(h.count);
  p["sum"] = number(h.sum);
  p["bucketCounts"] = std::move(counts);
  p["explicitBounds"] = h.bounds;
  return p;
}

Json metric(const Family& f, const Span& span) {
  Json points = Json::array();
  for (const MetricSample& s : f.samples) points.push_back(point(s, span));
  Json data{{"dataPoints", std::move(points)}};
  constexpr int cumulative = 2;
  const MetricKind kind = f.name->kind;
  if (kind != MetricKind::gauge) data["aggregationTemporality"] = cumulative;
  if (kind == MetricKind::counter) data["isMonotonic"] = true;
  const char* type = kind == MetricKind::counter ? "sum" : kind == MetricKind::gauge ? "gauge" : "histogram";
  return {{"name", f.name->otel}, {"description", f.name->help}, {"unit", f.name->unit}, {type, std::move(data)}};
}

Span span_of(double seconds, const Clock& clock) {
  using std::chrono::nanoseconds;
  const nanoseconds now = clock.wall_now().time_since_epoch();
  const auto age = nanoseconds(static_cast<nanoseconds::rep>(seconds * 1e9));
  return {std::to_string((now - age).count()), std::to_string(now.count())};
}

}  // namespace

std::string otlp_json(const Meter& meter, const MetricsOptions& options) {
  double seconds = 0;
  const std::vector<Family> families = families_of(meter, options, &seconds);
  const Span span = span_of(seconds, meter.clock());
  Json metrics = Json::array();
  for (const Family& f : families) metrics.push_back(metric(f, span));
  Json scope{{"scope", {{"name", "frugal"}, {"version", version_text()}}}, {"metrics", std::move(metrics)}};
  const Json request{{"resourceMetrics", {{{"resource", Json::object()}, {"scopeMetrics", {std::move(scope)}}}}}};
  return request.dump();
}

}  // namespace frugal

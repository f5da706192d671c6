// meter_driver metrics | otel | otlp | trace FILE: what SampleMeter exports, for check_exports.py.
#include <frugal/meter/metrics.hpp>
#include <frugal/meter/trace_writer.hpp>

#include <iostream>
#include <string_view>

#include "meter/sample_meter.hpp"

using namespace frugal;

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "trace" && argc > 2) {
    TraceWriter writer({.path = argv[2], .most_bytes = 100'000});
    testing::SampleMeter sample([&](const Measured& m) { writer.write(m); });
    return 0;
  }
  testing::SampleMeter sample;
  Budget budget({.limits = {{.tenant = "acme", .usd = 5}, {.usd = 9}}});
  const BudgetGauges budgets[] = {{&budget}};
  const ProviderCacheCounts caches[] = {{.endpoint = "far", .type = "odd \"\\\n", .requests = 1, .expected_read = 7}};
  const MetricsOptions options{.otel_names = what == "otel", .budgets = budgets, .provider_caches = caches};
  std::cout << (what == "otlp" ? otlp_json(sample.meter, options) : open_metrics(sample.meter, options));
}

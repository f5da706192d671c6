#include <frugal/meter/metrics.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "meter/sample_meter.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("every metric has a name of its own in both worlds") {
  std::set<std::string_view> ours, otel;
  for (const MetricName& m : metric_names()) {
    CHECK(ours.insert(m.name).second);
    CHECK(otel.insert(m.otel).second);
    CHECK(m.name.starts_with("frugal_"));
    CHECK_FALSE(m.name.ends_with("_total"));
    CHECK((m.otel.starts_with("gen_ai.") || m.otel.starts_with("frugal.")));
    CHECK_FALSE(m.help.empty());
    if (m.unit == "s") CHECK(m.name.ends_with("_seconds"));
    if (m.unit == "{USD}") CHECK(m.name.ends_with("_dollars"));
  }
}

TEST_CASE("counters, histograms and labels stand as OpenMetrics wants them") {
  SampleMeter sample;
  const std::string text = open_metrics(sample.meter, {.by = {.tenant = false, .endpoint = false}});
  CHECK(has_line(text, "# TYPE frugal_requests counter"));
  CHECK(has_line(text, "# UNIT frugal_ttft_seconds seconds"));
  CHECK(has_line(text, R"(frugal_requests_total{type="chat",model="m",finish="stop"} 1000)"));
  CHECK(has_line(text, R"(frugal_requests_total{type="odd \"\\\n",model="m",finish="length"} 1)"));
  CHECK(has_line(text, R"(frugal_ttft_seconds_bucket{type="chat",model="m",le="+Inf"} 1000)"));
  CHECK(has_line(text, R"(frugal_ttft_seconds_bucket{type="chat",model="m",le="1.0"} 1000)"));
  CHECK(has_line(text, R"(frugal_input_tokens_total{type="chat",model="m"} 100000)"));
  CHECK(has_line(text, R"(frugal_owned_tokens_total{type="chat",model="m",owner="prompt_cached"} 40000)"));
  CHECK(has_line(text, "frugal_in_flight_requests 1"));
  CHECK(text.ends_with("# EOF\n"));
}

TEST_CASE("a percentile of too few requests is left out") {
  SampleMeter sample;
  const std::string text = open_metrics(sample.meter, {.by = {.tenant = false, .model = false, .endpoint = false}});
  CHECK(text.find(R"(frugal_recent_seconds{type="chat",of="ttft",q="0.99"})") != std::string::npos);
  CHECK(text.find(R"(frugal_recent_seconds{type="odd)") == std::string::npos);
}

TEST_CASE("OpenTelemetry's names take the place of ours") {
  SampleMeter sample;
  const std::string text = open_metrics(sample.meter, {.otel_names = true});
  CHECK(has_line(text, "# TYPE gen_ai_server_time_to_first_token_seconds histogram"));
  CHECK(text.find(R"(gen_ai_client_inference_usage_input_tokens_total{frugal_request_type="chat")") !=
        std::string::npos);
  CHECK(text.find(R"(gen_ai_response_model="m")") != std::string::npos);
}

TEST_CASE("OTLP holds the same numbers") {
  SampleMeter sample;
  const Json root = Json::parse(otlp_json(sample.meter, {.by = {false, false, false, false}}));
  const Json& metrics = root["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
  const auto named = [&](std::string_view name) -> Json {
    for (const Json& m : metrics)
      if (m["name"] == name) return m;
    return nullptr;
  };
  const Json input = named("gen_ai.client.inference.usage.input_tokens");
  CHECK(input["sum"]["isMonotonic"] == true);
  CHECK(input["sum"]["dataPoints"][0]["asDouble"] == 100'100.0);
  const Json ttft = named("gen_ai.server.time_to_first_token")["histogram"]["dataPoints"][0];
  CHECK(ttft["count"] == "1001");
  CHECK(ttft["bucketCounts"].size() == ttft["explicitBounds"].size() + 1);
  std::uint64_t sum = 0;
  for (const Json& n : ttft["bucketCounts"]) sum += std::stoull(n.get<std::string>());
  CHECK(sum == 1001);
  CHECK(named("frugal.in_flight.requests").contains("gauge"));
}

TEST_CASE("a budget's limits are told beside the rest") {
  SampleMeter sample;
  Budget budget({.limits = {{.tenant = "acme", .usd = 5}}});
  budget.reserve("acme", "", 2).value().settle(1.5);
  Budget of_one({.limits = {{.usd = 3}}});
  const expected<Reservation> running = of_one.reserve("", "", 0.25);
  const BudgetGauges budgets[] = {{&budget}, {&of_one, "far"}, {}};
  const std::string text = open_metrics(sample.meter, {.budgets = budgets});
  CHECK(has_line(text, R"(frugal_budget_spent_dollars{model="",tenant="acme",type="",period="none"} 1.5)"));
  CHECK(has_line(text, R"(frugal_budget_limit_dollars{model="",tenant="acme",type="",period="none"} 5)"));
  CHECK(has_line(text, R"(frugal_budget_limit_dollars{model="far",tenant="",type="",period="none"} 3)"));
  CHECK(has_line(text, R"(frugal_budget_reserved_dollars{model="far",tenant="",type="",period="none"} 0.25)"));
}

TEST_CASE("limits that differ in their period only are two samples, equal ones are the tightest") {
  SampleMeter sample;
  Budget budget({.limits = {{.usd = 50, .period = 24h}, {.usd = 5, .period = 1h}, {.usd = 4, .period = 1h}}});
  const BudgetGauges budgets[] = {{&budget}};
  const std::string text = open_metrics(sample.meter, {.budgets = budgets});
  CHECK(has_line(text, R"(frugal_budget_limit_dollars{model="",tenant="",type="",period="86400"} 50)"));
  CHECK(has_line(text, R"(frugal_budget_limit_dollars{model="",tenant="",type="",period="3600"} 4)"));
  CHECK_FALSE(has_line(text, R"(frugal_budget_limit_dollars{model="",tenant="",type="",period="3600"} 5)"));
}

TEST_CASE("what a provider's cache was to give stands beside what was billed") {
  SampleMeter sample;
  const ProviderCacheCounts counts[] = {{.endpoint = "far",
                                         .type = "chat",
                                         .requests = 9,
                                         .missed = 2,
                                         .ignored = 1,
                                         .expected_read = 4000,
                                         .billed_read = 3000,
                                         .billed_write = 500}};
  const std::string text = open_metrics(sample.meter, {.provider_caches = counts});
  const auto tokens = [](const char* state, const char* value) {
    return R"(frugal_provider_cache_tokens_total{endpoint="far",type="chat",state=")" + std::string(state) + "\"} " +
           value;
  };
  CHECK(has_line(text, tokens("expected_read", "4000")));
  CHECK(has_line(text, tokens("billed_read", "3000")));
  CHECK(has_line(text, tokens("billed_write", "500")));
  CHECK(has_line(text, R"(frugal_provider_cache_requests_total{endpoint="far",type="chat",state="missed"} 2)"));
}

TEST_CASE("answers that were errors are exported by status and code") {
  SampleMeter sample;
  const ErrorAnswers errors[] = {{400, Errc::too_large, 3}, {503, Errc::unavailable, 1}};
  const std::string text = open_metrics(sample.meter, {.errors = errors});
  CHECK(has_line(text, "# TYPE frugal_error_answers counter"));
  CHECK(has_line(text, R"(frugal_error_answers_total{status="400",code="too_large"} 3)"));
  CHECK(has_line(text, R"(frugal_error_answers_total{status="503",code="unavailable"} 1)"));
  const std::string otel = open_metrics(sample.meter, {.otel_names = true, .errors = errors});
  CHECK(has_line(otel, R"(frugal_error_answers_total{http_response_status_code="400",error_type="too_large"} 3)"));
  CHECK(open_metrics(sample.meter).find("error_answers") == std::string::npos);
}

TEST_CASE("an endpoint's load is exported where it is known") {
  SampleMeter sample;
  const LoadGauges loads[] = {{.endpoint = "big\x1b",
                               .running = 3,
                               .waiting = 0,
                               .kv_bytes_total = 4096,
                               .kv_bytes_leased = 1024,
                               .kv_bytes_indexed = 512,
                               .free_tokens = 700},
                              {.endpoint = "api", .running = 2}};
  const std::string text = open_metrics(sample.meter, {.loads = loads});
  CHECK(has_line(text, "# TYPE frugal_kv_pool_bytes gauge"));
  CHECK(has_line(text, "# UNIT frugal_kv_pool_bytes bytes"));
  CHECK(has_line(text, R"(frugal_load_requests{endpoint="big\\x1B",state="running"} 3)"));
  CHECK(has_line(text, R"(frugal_load_requests{endpoint="big\\x1B",state="waiting"} 0)"));
  CHECK(has_line(text, R"(frugal_load_requests{endpoint="api",state="running"} 2)"));
  CHECK(has_line(text, R"(frugal_kv_pool_bytes{endpoint="big\\x1B",state="leased"} 1024)"));
  CHECK(has_line(text, R"(frugal_load_free_tokens{endpoint="big\\x1B"} 700)"));
  CHECK(text.find(R"(endpoint="api",state="waiting")") == std::string::npos);
  CHECK(text.find(R"(endpoint="api",state="total")") == std::string::npos);
}

TEST_CASE("a tenant of any bytes leaves both exports valid, and two tenants stay two") {
  Meter meter;
  for (const std::string tenant : {"\xFFtest", "\xFEtest", "a\x1b[0m"}) {
    Measured m;
    m.record.tenant = tenant, m.record.finish = FinishReason::stop;
    meter.started();
    meter.record(std::move(m));
  }
  const std::string text = open_metrics(meter), json = otlp_json(meter);
  for (const std::string& out : {text, json}) {
    CHECK(out.find('\xFF') == std::string::npos);
    CHECK(out.find('\xFE') == std::string::npos);
    CHECK(out.find('\x1b') == std::string::npos);
  }
  CHECK(text.find(R"(tenant="\\xFFtest")") != std::string::npos);
  CHECK(text.find(R"(tenant="\\xFEtest")") != std::string::npos);
  CHECK(json.find("EFBFBD") == std::string::npos);
}

TEST_CASE("what is not finite is written as the format spells it") {
  Meter meter({.prices = PriceBook().with("m", {.input = 1e300})});
  for (int i = 0; i < 3; ++i) {
    Measured m;
    m.record.model = "m", m.record.finish = FinishReason::stop;
    m.record.attempts.push_back({.model = "m", .usage = {.input = ~std::uint64_t{0}}});
    meter.started();
    meter.record(std::move(m));
  }
  const std::string text = open_metrics(meter);
  CHECK(text.find(" inf\n") == std::string::npos);
  CHECK(text.find(" nan\n") == std::string::npos);
  CHECK(text.find(" -nan\n") == std::string::npos);
  CHECK(text.find(" +Inf\n") != std::string::npos);
  CHECK(nlohmann::json::parse(otlp_json(meter)).is_object());
}

// What a workload adds up: the same money as the live meter, nothing that was not measured, and tables with limits.
#include "advise/lru_table.hpp"

#include <frugal/advise/report.hpp>
#include <frugal/core/error.hpp>
#include <frugal/meter/meter.hpp>
#include <frugal/meter/trace_reader.hpp>
#include <frugal/meter/trace_writer.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

using namespace frugal;
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using json = nlohmann::json;

namespace {

Workload workload_of(const std::vector<std::string>& lines, PriceBook prices = PriceBook::built_in()) {
  Workload w({.prices = std::move(prices)});
  for (const std::string& line : lines)
    for (TraceRecord& r : parse_trace_line(line, "log")) w.add(std::move(r));
  w.finish();
  return w;
}

json replayed(const Workload& w) { return json::parse(replay_json({.workload = &w})); }

bool says(const Workload& w, const std::string& part) {
  for (const std::string& sentence : w.unknowable())
    if (sentence.find(part) != std::string::npos) return true;
  return false;
}

/// 600 requests that decode for most of their time; 30 of 40 blocks are shared.
std::vector<std::string> chat(bool streamed, bool with_ttft = true) {
  std::mt19937 random(7);
  std::vector<std::string> lines;
  for (int i = 0; i < 600; ++i) {
    const int n = 100 + static_cast<int>(random() % 100);
    const double ttft = 60 + static_cast<double>(random() % 400) / 100, e2e = ttft + 30 * n;
    TraceRecord r;
    r.timestamp = 1.7e9 + 15.0 * i, r.type = "chat", r.prompt_tokens = 640, r.output_tokens = static_cast<unsigned>(n);
    if (with_ttft) r.ttft_ms = streamed ? ttft : e2e;
    r.e2e_ms = e2e;
    for (std::uint64_t b = 0; b < 40; ++b) r.prefix_blocks.push_back(b < 30 ? b + 1000 : 1'000'000 + 100U * i + b);
    lines.push_back(trace_line(r));
  }
  return lines;
}

}  // namespace

TEST_CASE("a trace gives back the live meter's money: cache writes, reasoning, tiers, batches, tries and failures") {
  std::vector<std::string> lines;
  Meter meter({.trace = [&](const Measured& m) { lines.push_back(trace_line(m.record)); }});
  std::mt19937 random(3);
  for (int i = 0; i < 200; ++i) {
    Measured m;
    TraceRecord& r = m.record;
    r.timestamp = 1.78e9 + i, r.model = "claude-sonnet-4-5",
    r.finish = i % 10 == 0 ? FinishReason::error : FinishReason::stop;
    r.batch = i % 7 == 0;
    if (i % 5 == 0) r.model = "gpt-5", r.service_tier = i % 2 == 0 ? "flex" : "priority";
    Usage u{.input = 1000 + random() % 12000, .output = 50 + random() % 500};
    u.cached_read = random() % 500, u.cache_write = random() % 400, u.cache_write_1h = u.cache_write / 3;
    u.reasoning = random() % 40;
    r.attempts.push_back({.endpoint = "api", .model = r.model, .usage = u});
    if (i % 4 == 0) {
      r.attempts.insert(r.attempts.begin(),
                        {.endpoint = "small", .model = "gpt-5-nano", .usage = u, .accepted = false});
    }
    r.prompt_tokens = u.input, r.output_tokens = u.output, r.cached_tokens = u.cached_read;
    meter.started();
    meter.record(std::move(m));
  }
  const MeterStats live = meter.total().total();
  REQUIRE(live.cost.total() > 0);
  REQUIRE(live.usage.cache_write_1h > 0);
  const Workload w = workload_of(lines);
  CHECK(w.total().cost + w.failed().cost == Approx(live.cost.total()).epsilon(1e-12));
  CHECK(w.total().unpriced + w.failed().unpriced == live.unpriced);
  Usage usage = w.total().usage;
  usage += w.failed().usage;
  CHECK(usage == live.usage);
  CHECK(w.failed().requests == 20);
}

TEST_CASE("cache writes of a provider are in the replayed bill and in its lever") {
  const std::string line =
      R"({"timestamp":1760000000,"model":"claude-sonnet-4-5","prompt_tokens":3,"cache_creation_input_tokens":12304,)"
      R"("cache_read_input_tokens":0,"output_tokens":550})";
  const Workload w = workload_of(std::vector<std::string>(10, line));
  CHECK(w.total().cost == Approx(0.543990));
  CHECK(w.total().usage.cache_write == 123040);
  CHECK(w.total().levers.cache_spent == Approx(123040 * 0.75e-6));
}

TEST_CASE("the latency of answers in one piece is not taken for streaming") {
  const Workload whole = workload_of(chat(false)), streamed = workload_of(chat(true));
  const Advice advice = advise(whole), right = advise(streamed);
  CHECK(whole.total().ttft_ms.count() == 0);
  CHECK(whole.total().tpot_ms.count() == 0);
  CHECK(whole.total().e2e_ms.count() == 600);
  CHECK(says(whole, "600 answers came in one piece"));
  CHECK(advice.bound != Bound::ttft);
  REQUIRE(right.of(Lever::prefix_cache).e2e);
  CHECK(right.of(Lever::prefix_cache).e2e->high < 0.02);
  const LeverAdvice& cache = advice.of(Lever::prefix_cache);
  CHECK_FALSE(cache.e2e);
  CHECK(cache.is_unknown(Metric::e2e));
  CHECK_FALSE(advice.of(Lever::speculation).e2e);
  CHECK_THAT(advice_text(whole, advise(whole, {.bound = Bound::tpot})),
             ContainsSubstring("unknown: the trace does not say what the time to the whole answer is made of"));
  CHECK_THAT(advice.why, ContainsSubstring("TTFT unknown"));
}

TEST_CASE("without a time to the first token nobody knows which part of an answer's time is decoding") {
  const Workload w = workload_of(chat(true, false));
  const Advice advice = advise(w);
  CHECK(w.total().tpot_ms.count() == 0);
  CHECK_FALSE(advice.of(Lever::speculation).e2e);
  CHECK(advice.of(Lever::speculation).is_unknown(Metric::e2e));
}

TEST_CASE("a model without a price costs an unknown sum, never zero") {
  const std::string usage = R"(,"prompt_tokens":2006,"output_tokens":300})";
  const Workload w = workload_of({R"({"model":"totally-unknown")" + usage, R"({"model":"gpt-4o")" + usage});
  const json report = replayed(w);
  CHECK(report["models"][0]["cost"].is_null());
  CHECK(report["models"][0]["unpriced"] == 1);
  CHECK(report["models"][1]["cost"] > 0);
  CHECK(report["unpriced"] == 1);
  CHECK(report["cost"] == report["models"][1]["cost"]);
  CHECK_THAT(report_text({.workload = &w}), ContainsSubstring("+ at least: 1 requests"));
  CHECK_THAT(report_html({.workload = &w}), ContainsSubstring("unknown"));
}

TEST_CASE("more models than the table holds leave the bill of a known one right") {
  std::vector<std::string> lines;
  for (int i = 0; i < 300; ++i)
    lines.push_back(R"({"model":"stranger-)" + std::to_string(i) + R"(","prompt_tokens":10,"output_tokens":1})");
  const std::string known = R"({"timestamp":1760000000,"model":"gpt-4o","prompt_tokens":1000,"output_tokens":100})";
  for (int i = 0; i < 1000; ++i) lines.push_back(known);
  const Workload w = workload_of(lines);
  CHECK(w.models().size() == 256);
  CHECK(w.models().back().name == "(other)");
  CHECK(w.total().unpriced == 300);
  CHECK(w.total().cost == Approx(1000 * workload_of({known}).total().cost));
}

TEST_CASE("names that forge a table, a chart or a terminal's line leave no trace of it") {
  const std::string evil = "\x1b[31m\x1b]0;pwn\x07RED\n  all    1<b>\"'&" + std::string(1, '\0') + "\xFF";
  Workload w({.prices = PriceBook()});
  for (int i = 0; i < 30; ++i) {
    TraceRecord r;
    r.timestamp = 100 + i, r.type = r.model = r.tenant = evil;
    r.prompt_tokens = 100, r.output_tokens = 5, r.ttft_ms = 1, r.e2e_ms = 5;
    w.add(std::move(r));
  }
  w.note_unread_field(evil);
  w.finish();
  const Advice advice = advise(w);
  const Report report{.title = evil, .workload = &w, .advice = &advice};
  for (const std::string& text : {report_text(report), report_html(report), replay_json(report), advice_json(advice)}) {
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find('\0') == std::string::npos);
    CHECK(text.find('\xFF') == std::string::npos);
    CHECK(text.find("RED\n") == std::string::npos);
  }
  CHECK(report_html(report).find("<b>") == std::string::npos);
  CHECK(json::parse(replay_json(report))["types"][0]["name"].get<std::string>().find("\\x1B[31m") == 0);
}

TEST_CASE("keys that were chosen to collide are found as fast as others") {
  constexpr std::uint64_t inverse = 0xF1DE83E19937733DU;  // of the table's multiplier, modulo 2^64
  const auto seconds = [](std::uint64_t factor) {
    advisor::LruTable<int> table(1 << 17);
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t i = 1; i <= 60000; ++i) table.insert(i * factor);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const double plain = seconds(0x1234567890ABCDEFU);
  CHECK(seconds(inverse) < 20 * plain + 0.1);
}

namespace {

/// 200 requests an hour to one hosted model that share their first tokens; 600 more are their own.
Workload sharing(std::uint64_t shared) {
  Workload w;
  for (std::uint64_t i = 0; i < 200; ++i) {
    TraceRecord r;
    r.timestamp = 1.76e9 + 18.0 * static_cast<double>(i), r.type = "desk", r.model = "claude-sonnet-4-5";
    r.prompt_tokens = shared + 600, r.output_tokens = 20, r.cached_tokens = 0;
    for (std::uint64_t b = 0; b < r.prompt_tokens / 16; ++b)
      r.prefix_blocks.push_back(b < shared / 16 ? b + 1 : 1'000'000 + 1000 * i + b);
    w.add(std::move(r));
  }
  w.finish();
  return w;
}

}  // namespace

TEST_CASE("a shared beginning just short of a provider's least length is named with the tokens that it lacks") {
  const Workload w = sharing(960);
  const Advice advice = advise(w);
  CHECK_FALSE(advice.of(Lever::prefix_cache).worth);
  REQUIRE(advice.short_prefixes.size() == 1);
  const ShortPrefix& p = advice.short_prefixes.front();
  CHECK(p.type == "desk");
  CHECK(p.shared_tokens == 960);
  CHECK(p.least_tokens == 1024);
  CHECK(p.lacks() == 64);
  CHECK_THAT(advice_text(w, advice), ContainsSubstring("64 tokens short of the 1,024"));
  const json object = json::parse(advice_json(advice));
  CHECK(object["short_prefixes"][0]["tokens_short"] == 64);
  CHECK(json::parse(replay_json({.workload = &w, .advice = &advice}))["advice"]["short_prefixes"].size() == 1);
  CHECK_THAT(report_html({.workload = &w, .advice = &advice}), ContainsSubstring("64 tokens short of the 1,024"));
  // what is promised for the padded prompt is what a padded prompt saves
  const Advice padded = advise(sharing(1024));
  REQUIRE(padded.of(Lever::prefix_cache).cost);
  CHECK(p.cost.estimate > 0.25);
  CHECK(p.cost.estimate < padded.of(Lever::prefix_cache).cost->estimate + 0.02);
  CHECK(padded.short_prefixes.empty());
}

TEST_CASE("a beginning that is far too short, or that no provider limits, is not called just short") {
  CHECK(advise(sharing(512)).short_prefixes.empty());
  Workload own({.prices = PriceBook()});
  for (std::uint64_t i = 0; i < 50; ++i) {
    TraceRecord r;
    r.timestamp = static_cast<double>(i), r.prompt_tokens = 1000, r.output_tokens = 5;
    for (std::uint64_t b = 0; b < 62; ++b) r.prefix_blocks.push_back(b < 60 ? b + 1 : 1000 * (i + 1) + b);
    own.add(std::move(r));
  }
  own.finish();
  CHECK(advise(own).short_prefixes.empty());
}

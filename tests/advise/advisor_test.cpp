// What a workload is told from a handful of requests: the two classic mistakes, a missing field, an outcome, a report.
#include <frugal/advise/report.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinAbs;
using json = nlohmann::json;

namespace {

/// One request behind `shared` tokens that all requests have; 20 ms a token, 0.1 ms a prompt token.
TraceRecord request(std::uint64_t i, std::uint64_t prompt, std::uint64_t output, std::uint64_t shared) {
  TraceRecord r;
  r.timestamp = 2.0 * static_cast<double>(i), r.type = "desk", r.model = "house";
  r.prompt_tokens = prompt, r.output_tokens = output, r.cached_tokens = 0;
  r.ttft_ms = 50 + 0.1 * static_cast<double>(prompt), r.e2e_ms = *r.ttft_ms + 20.0 * static_cast<double>(output);
  for (std::uint64_t b = 0; b < prompt / 16; ++b)
    r.prefix_blocks.push_back(b < shared / 16 ? b + 1 : (i + 1) * 1000000 + b);
  return r;
}

template <class Make>
Workload workload_of(std::uint64_t n, const Make& make) {
  WorkloadOptions options;
  options.prices = PriceBook();
  Workload workload(std::move(options));
  for (std::uint64_t i = 0; i < n; ++i) workload.add(make(i));
  workload.finish();
  return workload;
}

bool listed(const Advice& advice, Lever lever) { return advice.of(lever).worth; }

Workload re_sent() {
  return workload_of(300, [](std::uint64_t i) { return request(i, 4096 + 16 * (i % 5), 60 + i % 20, 4096); });
}

}  // namespace

TEST_CASE("a bill of re-sent prompts is told to cache, never to speculate") {
  const Advice advice = advise(re_sent());
  CHECK(advice.bound == Bound::cost);
  REQUIRE(listed(advice, Lever::prefix_cache));
  CHECK(advice.levers.front().lever == Lever::prefix_cache);
  CHECK_FALSE(listed(advice, Lever::speculation));
}

TEST_CASE("answers of 4,000 tokens are told to speculate, never to cache, even behind a shared prompt") {
  const Advice advice = advise(workload_of(200, [](std::uint64_t i) { return request(i, 2048, 4000, 1920); }));
  CHECK(advice.bound == Bound::tpot);
  CHECK(advice.levers.front().lever == Lever::speculation);
  CHECK_FALSE(listed(advice, Lever::prefix_cache));
  CHECK_FALSE(listed(advice, Lever::answer_cache));
}

TEST_CASE("the first request of a shared prefix is not saved, the others are") {
  const Workload workload = workload_of(10, [](std::uint64_t i) { return request(i, 160, 10, 128); });
  CHECK(workload.prefix().prompt == 1600);
  CHECK(workload.prefix().hits == 9 * 128);
  CHECK(workload.prefix().evicted == 0);
}

TEST_CASE("nothing but token counts: nothing is advised, and every gap is named") {
  const Workload workload = workload_of(100, [](std::uint64_t i) {
    TraceRecord r;
    r.prompt_tokens = 500 + i, r.output_tokens = 40;
    return r;
  });
  const Advice advice = advise(workload);
  CHECK(advice.none_worth());
  CHECK_THAT(advice_text(workload, advice), ContainsSubstring("None is worth it"));
  std::string said;
  for (const std::string& one : advice.unknowable) said += one + "\n";
  for (const char* field : {"timestamp", "type", "model", "cached_tokens", "ttft_ms", "e2e_ms", "prefix_blocks"})
    CHECK_THAT(said, ContainsSubstring(std::string(field) + " is not recorded"));
  CHECK(json::parse(advice_json(advice))["levers"].empty());
}

TEST_CASE("the JSON has the documented shape, best lever first") {
  const json advice = json::parse(advice_json(advise(re_sent())));
  CHECK(advice.size() == 4);
  CHECK(advice["short_prefixes"].is_array());
  CHECK(advice["bound_by"] == "cost");
  CHECK(advice["slices"][0]["type"] == "desk");
  const json& lever = advice["levers"].at(0);
  CHECK(lever.size() == 4);
  CHECK(lever["lever"] == "prefix_cache");
  CHECK(lever["saving"]["of"] == "cost");
  CHECK(lever["saving"]["low"] <= lever["saving"]["estimate"]);
  CHECK(lever["saving"]["estimate"] <= lever["saving"]["high"]);
  CHECK_FALSE(lever["assumption"].get<std::string>().empty());
  CHECK_FALSE(lever["experiment"].get<std::string>().empty());
}

TEST_CASE("an outcome is compared with its prediction, and one that did not come true is called so") {
  const Workload before = re_sent();
  const Advice advice = advise(before);
  const auto after = [](std::uint64_t cached) {
    return workload_of(300, [cached](std::uint64_t i) {
      TraceRecord r = request(i, 4096 + 16 * (i % 5), 60 + i % 20, 4096);
      if (i > 0) r.cached_tokens = cached;
      return r;
    });
  };
  const Workload pulled = after(4096), idle = after(0);
  const LeverOutcome good = compare(before, pulled, &advice, Lever::prefix_cache);
  REQUIRE(good.changes.front().metric == Metric::cost);
  CHECK(good.changes.front().as_predicted);
  CHECK_THAT(good.changes.front().saving.estimate, WithinAbs(advice.of(Lever::prefix_cache).cost->estimate, 0.02));
  const LeverOutcome bad = compare(before, idle, &advice, Lever::prefix_cache);
  CHECK_FALSE(bad.changes.front().as_predicted);
  CHECK_THAT(bad.changes.front().saving.estimate, WithinAbs(0, 1e-9));
  const Report report{.workload = &before, .advice = &advice, .after = &idle, .outcome = &bad};
  CHECK_THAT(report_text(report), ContainsSubstring("less than predicted"));
}

TEST_CASE("the HTML is whole, escaped, and loads nothing") {
  const Workload workload = workload_of(50, [](std::uint64_t i) {
    TraceRecord r = request(i, 200, 20, 0);
    r.type = "<script>alert(1)</script>";
    return r;
  });
  const Advice advice = advise(workload);
  const std::string html = report_html({.title = "a & b", .workload = &workload, .advice = &advice});
  CHECK(html.starts_with("<!doctype html>"));
  CHECK(html.ends_with("</html>\n"));
  CHECK_THAT(html, ContainsSubstring("a &amp; b") && ContainsSubstring("&lt;script&gt;") &&
                       ContainsSubstring("prefers-color-scheme") && ContainsSubstring("<svg"));
  for (const char* loaded : {"<script", "http://", "https://", "url(", "@import", "<img", "<link"})
    CHECK(html.find(loaded) == std::string::npos);
}

// What can be said of a page without looking at it: how wide it may become, and that both colour schemes are complete.
TEST_CASE("the HTML fits a phone of 390 pixels and has a colour for everything, by day and by night") {
  const Workload before = re_sent(), after = re_sent();
  const Advice advice = advise(before);
  const LeverOutcome outcome = compare(before, after, &advice, Lever::prefix_cache);
  const std::string html = report_html({.workload = &before, .advice = &advice, .after = &after, .outcome = &outcome});
  CHECK_THAT(html, ContainsSubstring("name=\"viewport\" content=\"width=device-width,initial-scale=1\"") &&
                       ContainsSubstring("color-scheme:light dark") &&
                       ContainsSubstring("svg{display:block;width:100%"));
  const auto all = [](const std::string& text, const std::string& pattern) {
    std::vector<std::string> found;
    const std::regex expression(pattern);
    for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at) found.push_back((*at)[1]);
    return found;
  };
  const std::string style = html.substr(html.find("<style>"), html.find("</style>") - html.find("<style>"));
  const std::size_t dark = style.find("prefers-color-scheme:dark");
  REQUIRE(dark != std::string::npos);
  for (const std::string& name : all(style, "var\\((--[a-z]+)\\)")) {  // each colour in use is set in both schemes
    INFO(name);
    CHECK(style.find(name + ":#") < dark);
    CHECK(style.find(name + ":#", dark) != std::string::npos);
  }
  for (const std::string& kind : all(html, "<(?:rect|path|line|text) class=\"([a-z0-9]+)")) {
    INFO(kind);
    CHECK(style.find("." + kind) != std::string::npos);
  }
  CHECK(all(html, "<(?:svg|table|section|div)[^>]* (width|style)=").empty());
  CHECK(all(style, "[{;](width:[0-9.]+(?:px|rem|em|ch))").empty());
  CHECK(all(style, "(min-width:[0-9.]+(?:px|rem|em|ch))").empty());
  for (const std::string& box : all(html, "viewBox=\"0 0 ([0-9.]+) ")) CHECK(std::stod(box) <= 390);
  std::size_t tables = 0, at = 0;
  for (; (at = html.find("<table>", at)) != std::string::npos; ++at, ++tables)
    CHECK(html.rfind("<div class=\"scroll\">", at) == at - std::string("<div class=\"scroll\">").size());
  CHECK(tables == 2);  // may scroll inside their card, never the page
}

TEST_CASE("a workload that is not finished and options out of range are refused by name") {
  Workload open;
  CHECK(mentions(error_of([&] { advise(open); }), "not finished"));
  const Workload workload = re_sent();
  CHECK(mentions(error_of([&] { advise(workload, {.ttft_goal_ms = 0}); }), "goal"));
  CHECK(mentions(error_of([&] { advise(workload, {.worth = 1}); }), "worth"));
}

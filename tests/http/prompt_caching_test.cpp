// A provider's prompt cache: what is marked and for how long, what should be read, and what the report says of the bill.
// The bills are made up by a simulated provider that keeps to the published rules, or does not.
#include <frugal/meter/prompt_cache.hpp>

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "http/api.hpp"
#include "http/local_server.hpp"
#include "http/prompt_caching.hpp"

using namespace frugal;
using namespace frugal::http;
using namespace frugal::testing;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

HttpOptions options(HttpApi api, const std::string& model) {
  HttpOptions o;
  o.name = "far";
  o.url = api == HttpApi::anthropic_messages ? "https://api.anthropic.com/v1" : "https://api.openai.com/v1";
  o.model = model;
  o.api = api;
  return o;
}
HttpOptions claude() { return options(HttpApi::anthropic_messages, "claude-sonnet-4-5"); }
HttpOptions gpt(const std::string& model = "gpt-4o") { return options(HttpApi::openai_chat, model); }

/// A system text of so many bytes, marked, and a question.
Request ask(std::size_t system_bytes, const std::string& question, const std::string& type = "desk") {
  Request r;
  r.prompt = Chat{{{.role = "system", .content = std::string(system_bytes, 's'), .cache_point = true},
                   {.role = "user", .content = question}}};
  r.type = type;
  return r;
}

Finish billed(Usage usage) {
  Finish f;
  f.reason = FinishReason::stop;
  f.usage = usage;
  f.ledger.attempts.push_back({.endpoint = "far", .usage = usage});
  return f;
}

json body_of(const HttpOptions& o, const Request& r, const CachePlan& plan) {
  return json::parse(api_of(o.api).post(r, o, plan).value().body);
}

const TimePoint begin = TimePoint(1000h);

/// Sends the same beginning each `gap`, is billed as the rules say, and tells the last plan.
CachePlan after_uses(PromptCaching& caching, int uses, Duration gap) {
  CachePlan plan;
  for (int i = 0; i < uses; ++i) {
    plan = caching.plan(ask(8000, std::to_string(i)), begin + i * gap);
    const bool read = plan.expected_bytes > 0;
    caching.settle(plan, billed({.input = 2010, .cached_read = read ? 2000U : 0, .cache_write = read ? 0 : 2000U}),
                   begin + i * gap + 1s);
  }
  return plan;
}

}  // namespace

TEST_CASE("prompt cache: each model has the least length that its maker publishes") {
  const auto least = [](const char* model) { return prompt_cache_terms(model).least_tokens; };
  CHECK(least("claude-sonnet-4-5-20250929") == 1024);
  CHECK(least("anthropic/claude-opus-4.6") == 4096);
  CHECK(least("claude-opus-4-5-20251101") == 4096);
  CHECK(least("claude-4.5-haiku") == 4096);
  CHECK(least("claude-opus-4-7") == 2048);
  CHECK(least("claude-3-5-haiku-20241022") == 2048);
  CHECK(least("claude-opus-4-20250514") == 1024);
  CHECK(least("claude-opus-4-8") == 1024);
  CHECK(least("claude-opus-5") == 512);
  CHECK(least("claude-3-opus-20240229") == 1024);
  CHECK(least("deepseek-chat") == 64);
  CHECK(prompt_cache_terms("gpt-4o-2024-08-06").step_tokens == 128);
  CHECK(prompt_cache_terms("gpt-5-2025-08-07").most_marks == 0);
  CHECK(prompt_cache_terms("openai/gpt-5.6-sol").most_marks == 3);
  CHECK(prompt_cache_terms("gpt-35-turbo").most_marks == 0);  // as Azure spells 3.5
  CHECK(prompt_cache_terms("gpt-6").step_tokens == 1);
  CHECK(prompt_cache_terms("something").step_tokens == 128);
}

TEST_CASE("prompt cache: a beginning that comes back within the hour, but not within minutes, is written for an hour") {
  const HttpOptions o = claude();
  const auto ttl_at = [&](Duration gap) {
    PromptCaching caching(o);
    const CachePlan plan = after_uses(caching, 6, gap);
    return plan.marks.at(0).ttl;
  };
  CHECK(ttl_at(1min) == CacheTtl::minutes5);
  CHECK(ttl_at(4min) == CacheTtl::minutes5);
  CHECK(ttl_at(10min) == CacheTtl::hour);
  CHECK(ttl_at(55min) == CacheTtl::hour);
  CHECK(ttl_at(2h) == CacheTtl::minutes5);  // either is lost by then, and minutes are cheaper to write
  PromptCaching caching(o);
  const CachePlan plan = after_uses(caching, 3, 10min);
  const json mark = body_of(o, ask(8000, "q"), plan)["system"][0]["cache_control"];
  CHECK(mark == json{{"type", "ephemeral"}, {"ttl", "1h"}});
  HttpOptions told = o;
  told.caching.ttl = CacheTtl::minutes5;
  PromptCaching fixed(told);
  CHECK(after_uses(fixed, 6, 10min).marks.at(0).ttl == CacheTtl::minutes5);
}

TEST_CASE("prompt cache: an hour pays from the first use on where it is shared with minutes by the bill's own prices") {
  // 5 of 9 gaps are longer than five minutes: 6 x 1.25 + 4 x 0.1 inputs against 2 + 9 x 0.1
  const CacheUses mixed{.all = 10, .within = {4, 9}};
  CHECK(hours_among({{1000, mixed}}, {}) == 1);
  // a price book in which an hour costs ten times as much turns it over
  CHECK(hours_among({{1000, mixed}}, {.write = {1.25, 12.5}, .read = 0.1}) == 0);
  // one of ten gaps: 2 x 1.25 + 8 x 0.1 against 2 + 9 x 0.1
  CHECK(hours_among({{1000, {.all = 10, .within = {8, 9}}}}, {}) == 1);
  CHECK(hours_among({{1000, {.all = 10, .within = {9, 9}}}}, {}) == 0);
  CHECK(hours_among({{1000, {}}}, {}) == 0);  // nothing is known: what is cheaper to write
}

TEST_CASE("prompt cache: an hour never follows minutes") {
  const CacheUses minutes{.all = 10, .within = {9, 9}}, hours{.all = 10, .within = {1, 9}};
  CHECK(hours_among({{1000, hours}, {1000, minutes}}, {}) == 1);
  CHECK(hours_among({{1000, minutes}, {10, hours}}, {}) == 0);
  CHECK(hours_among({{10, minutes}, {1000, hours}}, {}) == 2);  // the short one pays the hour for the long one
}

TEST_CASE("prompt cache: at most four marks, those that cover the most") {
  const HttpOptions o = claude();
  PromptCaching caching(o);
  Request r;
  Chat chat;
  chat.messages.push_back({.role = "user", .content = "short", .cache_point = true});
  for (int i = 0; i < 5; ++i)
    chat.messages.push_back(
        {.role = i % 2 == 0 ? "assistant" : "user", .content = std::string(6000, 'x'), .cache_point = true});
  r.prompt = chat;
  const CachePlan plan = caching.plan(r, begin);
  REQUIRE(plan.marks.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(plan.marks[i].message == i + 2);
  const json body = body_of(o, r, plan);
  CHECK(body["messages"][0]["content"][0].contains("cache_control") == false);
  CHECK(body["messages"][5]["content"][0].contains("cache_control"));
  HttpOptions off = o;
  off.caching.on = false;
  CHECK(PromptCaching(off).plan(r, begin).marks.empty());
}

TEST_CASE("prompt cache: system texts are what comes first, wherever they stand in the chat") {
  const HttpOptions o = claude();
  PromptCaching caching(o);
  const auto plan_of = [&](const std::string& question) {
    Request r;
    r.prompt = Chat{{{.role = "user", .content = question},
                     {.role = "system", .content = std::string(8000, 's'), .cache_point = true}}};
    return caching.plan(r, begin);
  };
  const CachePlan first = plan_of("a");
  caching.settle(first, billed({.input = 2010, .cache_write = 2000}), begin + 1s);
  const CachePlan second = plan_of("something else");
  CHECK(second.expected_tokens == 2000);
}

TEST_CASE("prompt cache: what was billed as written is expected to be read until its time is over") {
  const HttpOptions o = claude();
  PromptCaching caching(o);
  const CachePlan first = caching.plan(ask(8000, "a"), begin);
  CHECK(first.expected_bytes == 0);
  CHECK(caching.plan(ask(8000, "b"), begin + 1s).expected_bytes == 0);  // not answered yet
  caching.settle(first, billed({.input = 2010, .cache_write = 2000}), begin + 2s);
  CHECK(caching.plan(ask(8000, "c"), begin + 4min).expected_tokens == 2000);
  CHECK(caching.plan(ask(8001, "c"), begin + 4min).expected_bytes == 0);
  CHECK(caching.plan(ask(8000, "d"), begin + 6min).expected_bytes == 0);
  // a refused or broken request says nothing of the cache
  Finish broken = billed({.input = 2010});
  broken.reason = FinishReason::error;
  PromptCaching other(o);
  const CachePlan lost = other.plan(ask(8000, "a"), begin);
  other.settle(lost, broken, begin + 1s);
  CHECK(other.report().empty());
}

TEST_CASE("prompt cache: a growing conversation reads what the turn before has written") {
  const HttpOptions o = claude();
  PromptCaching caching(o);
  Chat chat{{{.role = "user", .content = std::string(8000, 'a'), .cache_point = true}}};
  Request r;
  r.prompt = chat;
  caching.settle(caching.plan(r, begin), billed({.input = 2000, .cache_write = 2000}), begin + 1s);
  chat.messages.back().cache_point = false;
  chat.messages.push_back({.role = "assistant", .content = "yes"});
  chat.messages.push_back({.role = "user", .content = "and?", .cache_point = true});
  r.prompt = chat;
  CHECK(caching.plan(r, begin + 1min).expected_tokens == 2000);
  // beyond twenty blocks before a mark the provider does not look
  for (int i = 0; i < 21; ++i) chat.messages.push_back({.role = "user", .content = "more"});
  chat.messages[2].cache_point = false;
  chat.messages.back().cache_point = true;
  r.prompt = chat;
  CHECK(caching.plan(r, begin + 1min).expected_bytes == 0);
}

TEST_CASE("prompt cache: a bill that stays behind what was expected is reported, and logged once") {
  HttpOptions o = claude();
  std::vector<std::string> lines;
  o.log = [&](LogLevel level, std::uint64_t, std::string_view line) {
    CHECK(level == LogLevel::warning);
    lines.emplace_back(line);
  };
  PromptCaching caching(o);
  for (int i = 0; i < 20; ++i) {  // the provider forgets at once, and bills a write each time
    const CachePlan plan = caching.plan(ask(8000, std::to_string(i)), begin + i * 10s);
    caching.settle(plan, billed({.input = 2010, .cache_write = 2000}), begin + i * 10s + 1s);
  }
  after_uses(caching, 1, 1s);
  REQUIRE(caching.report().size() == 1);
  const HttpCacheReport r = caching.report().front();
  CHECK(r.type == "desk");
  CHECK(r.requests == 21);
  CHECK(r.missed == 19);
  CHECK(r.expected_read == 20 * 2000);
  CHECK(r.billed_read == 2000);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("should have read") != std::string::npos);
  CHECK(lines[0].find("ssss") == std::string::npos);
}

TEST_CASE("prompt cache: a provider that keeps to its rules gives no drift") {
  const HttpOptions o = claude();
  PromptCaching caching(o);
  after_uses(caching, 30, 2min);
  const HttpCacheReport r = caching.report().at(0);
  CHECK(r.expected_read == 29 * 2000);
  CHECK(r.billed_read == r.expected_read);
  CHECK(r.missed == 0);
  CHECK(r.too_short == 0);
  CHECK(r.ignored == 0);
}

TEST_CASE("prompt cache: marks that the provider takes no notice of are told from marks that are too short") {
  HttpOptions o = claude();
  std::vector<std::string> lines;
  o.log = [&](LogLevel, std::uint64_t, std::string_view line) { lines.emplace_back(line); };
  PromptCaching caching(o);
  for (int i = 0; i < 6; ++i) caching.settle(caching.plan(ask(8000, "q"), begin), billed({.input = 2010}), begin + 1s);
  for (int i = 0; i < 6; ++i)  // 4,032 of 4,152 bytes are marked: 972 of 1,000 tokens
    caching.settle(caching.plan(ask(4000, std::string(84, 'q'), "brief"), begin), billed({.input = 1000}), begin + 1s);
  for (int i = 0; i < 6; ++i)
    caching.settle(caching.plan(ask(400, "q", "tiny"), begin), billed({.input = 110}), begin + 1s);
  const std::vector<HttpCacheReport> rows = caching.report();
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].type == "brief");
  CHECK(rows[0].too_short == 6);
  CHECK(rows[0].least_tokens == 1024);
  CHECK(rows[0].lacks > 40);
  CHECK(rows[0].lacks < 65);
  CHECK(rows[1].ignored == 6);
  CHECK(rows[1].too_short == 0);
  CHECK(rows[2].too_short + rows[2].ignored == 0);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find("takes no notice") != std::string::npos);
  CHECK(lines[1].find("lacks about " + std::to_string(rows[0].lacks) + " tokens of the 1024") != std::string::npos);
}

TEST_CASE("prompt cache: OpenAI's reads are expected in its steps, without any mark") {
  const HttpOptions o = gpt();
  PromptCaching caching(o);
  Request r;
  r.prompt = Chat{{{"system", std::string(8000, 's')}, {"user", "one"}}};
  caching.settle(caching.plan(r, begin), billed({.input = 2005}), begin + 1s);
  r.prompt = Chat{{{"system", std::string(8000, 's')}, {"user", "two"}}};
  const CachePlan plan = caching.plan(r, begin + 1min);
  CHECK(plan.marks.empty());
  CHECK(plan.expected_bytes > 8000);
  caching.settle(plan, billed({.input = 2005, .cached_read = 1920}), begin + 62s);
  const HttpCacheReport row = caching.report().at(0);
  CHECK(row.expected_read == 1920);
  CHECK(row.missed == 0);
}

TEST_CASE("prompt cache: requests that share a beginning share OpenAI's key, and no other tenant does") {
  const HttpOptions o = gpt();
  PromptCaching caching(o);
  const auto key = [&](const Request& r) {
    const json body = body_of(o, r, caching.plan(r, begin));
    return body.value("prompt_cache_key", "");
  };
  const std::string shared = key(ask(2000, "a"));
  CHECK(shared.size() == 32);
  CHECK(key(ask(2000, "b")) == shared);
  CHECK(key(ask(2001, "a")) != shared);
  Request other = ask(2000, "a");
  other.tenant = "someone";
  CHECK(key(other) != shared);
  Request tools = ask(2000, "a");
  std::get<Chat>(tools.prompt).tools = R"([{"type": "function", "function": {"name": "f"}}])";
  CHECK(key(tools) != shared);
  CHECK_FALSE(body_of(o, ask(2000, "a"), caching.plan(ask(2000, "a"), begin)).dump().find("breakpoint") !=
              std::string::npos);
  // a server of one's own may refuse a field that it does not know
  HttpOptions own = o;
  own.url = "http://127.0.0.1:8080/v1";
  CHECK_FALSE(takes_cache_key(own));
  own.caching.openai_fields = true;
  CHECK(takes_cache_key(own));
  own.caching.openai_fields.reset();
  own.model = "our-own";  // nobody publishes rules for it, so nothing is expected
  CHECK(PromptCaching(own).plan(ask(8000, "a"), begin).places.empty());
  own.caching.openai_fields = true;
  own.url = "https://api.openai.com.example.org/v1";
  own.caching.openai_fields.reset();
  CHECK_FALSE(takes_cache_key(own));
}

TEST_CASE("prompt cache: what comes first in OpenAI's body is what stays the same") {
  const HttpOptions o = gpt();
  const std::string a = api_of(o.api).post(ask(3000, "first"), o).value().body;
  const std::string b = api_of(o.api).post(ask(3000, "second"), o).value().body;
  std::size_t same = 0;
  while (same < a.size() && a[same] == b[same]) ++same;
  CHECK(same > 3000);
  CHECK(a.find("temperature") > a.find("first"));
}

TEST_CASE("prompt cache: from GPT-5.6 on cache points become breakpoints, the last three, never on an answer") {
  for (const HttpApi api : {HttpApi::openai_chat, HttpApi::openai_responses}) {
    const HttpOptions o = options(api, "gpt-5.6-sol");
    Request r;
    r.prompt = Chat{{{.role = "system", .content = "s", .cache_point = true},
                     {.role = "user", .content = "a", .cache_point = true},
                     {.role = "user", .content = "b", .cache_point = true},
                     {.role = "user", .content = "c"},
                     {.role = "assistant", .content = "d", .cache_point = true},
                     {.role = "user", .content = "e"}}};
    const json body = body_of(o, r, PromptCaching(o).plan(r, begin));
    const json& messages = body[api == HttpApi::openai_chat ? "messages" : "input"];
    std::string marked;
    for (const json& m : messages)
      if (m.dump().find(R"("prompt_cache_breakpoint":{"mode":"explicit"})") != std::string::npos)
        marked += m["content"].back()["text"].get<std::string>();
    CHECK(marked == "abc");
  }
}

TEST_CASE("prompt cache: what is remembered is bounded") {
  HttpOptions o = claude();
  o.caching.most_prefixes = 8;
  PromptCaching caching(o);
  for (int i = 0; i < 1000; ++i) {
    const Request r = ask(8000, "q" + std::to_string(i), "type " + std::to_string(i));
    caching.settle(caching.plan(r, begin), billed({.input = 2010, .cache_write = 2000}), begin + 1s);
  }
  CHECK(caching.report().size() == 257);
  CHECK(caching.report().front().type == "(other)");
  // the latest one is still known, an early one is not
  const auto expected = [&](const std::string& tag) {
    Request r = ask(8000, "q");
    std::get<Chat>(r.prompt).messages[0].content += tag;
    return caching.plan(r, begin + 2s).expected_bytes;
  };
  CHECK(expected("") > 0);
  for (int i = 0; i < 20; ++i) CHECK(expected(std::to_string(i)) == 0);
  CHECK(expected("") == 0);
}

TEST_CASE("prompt cache: an endpoint marks, compares the bill and reports") {
  std::mutex mutex;
  std::vector<std::string> bodies;
  LocalServer server([&](Connection& c) {
    bool again = false;
    {
      const std::lock_guard lock(mutex);
      bodies.push_back(c.body());
      again = bodies.size() > 1;
    }
    const std::string cache = again ? R"("cache_read_input_tokens": 2000)" : R"("cache_creation_input_tokens": 2000)";
    c.begin_events();
    c.event(R"({"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 10, )" + cache + "}}}");
    c.event(R"({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "yes"}})");
    c.event(R"({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}})");
    c.event(R"({"type": "message_stop"})");
  });
  HttpOptions o = claude();
  o.url = server.url();
  HttpEndpoint endpoint(o);
  for (int i = 0; i < 2; ++i) CHECK(endpoint.submit(ask(8000, "q")).wait().text == "yes");
  const std::lock_guard lock(mutex);
  CHECK(json::parse(bodies.at(0))["system"][0]["cache_control"] == json{{"type", "ephemeral"}});
  REQUIRE(endpoint.cache_report().size() == 1);
  const HttpCacheReport r = endpoint.cache_report().front();
  CHECK(r.requests == 2);
  CHECK(r.expected_read == 2000);
  CHECK(r.billed_read == 2000);
  CHECK(r.billed_write == 2000);
}

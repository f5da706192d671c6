// The settings of `frugal serve`: JSON and YAML mean the same, and what is wrong is named by line and key.
#include "tools/serve_config.hpp"

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/read_file.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace frugal::tools;
using namespace std::chrono_literals;

namespace {

const std::string everything = R"(# all keys once
listen: "[::1]:9000"
hosts: [llm.example]
models:
  - {name: small, path: S.gguf, embeddings: mean, embedding_tokens: 100}
  - path: L.gguf
heads:
  - {name: sorter, head: h.safetensors, model: small}
remotes:
  - name: far
    api: anthropic_messages
    url: https://api.anthropic.com/v1
    model: claude-x
    key_file: far.key
    ca_file: ca.pem
    cache: hour
    openai_fields: false
    extended_sampling: true
    completion_tokens_field: true
    takes_sampling: false
    effort: low
    default_max_tokens: 1000
    max_running: 8
    max_waiting: 9
    obey_rate_limits: false
    proxy: http://proxy:3128
    headers: {anthropic-beta: something}
    timeouts: {connect_seconds: 1, first_byte_seconds: 2, gap_seconds: 3, total_seconds: 4.5}
    retries: {most: 5, base_seconds: 0.25, longest_seconds: 6, budget: 0.5}
    hedging: {budget: 0.01, quantile: 0.95, learn: 50}
cascades:
  - {name: auto, tiers: [small, far], margin: .2, streaming: commit}
  - {name: fitted, tiers: [small, far], policy: p.json}
splits:
  - {name: trial, arms: {small: 9, auto: 1}, experiment: e}
keys:
  - {file: team.key, tenant: team, most_priority: -3}
budgets:
  - {usd: 50, period_hours: 24}
  - {model: far, tenant: team, type: chat, usd: 1.5}
price_file: p.json
prices:
  small: {input: 0.05, output: 0.2, cached_read: 0.01, cache_write: 0.06, cache_write_1h: 0.1, reasoning: 0.2, call: 0}
unknown_price: highest
most_output: 100
kv_mib: 64
max_running: 4
max_waiting: 5
stall_ms: 50
tenant_weights: {team: 2}
speculate: [suffix]
caps:
  - {type: summary, tokens: 200}
  - {tokens: 900}
repeat_guard: true
backend: cpu
device: cpu
threads: 2
drain_seconds: 7
idle_seconds: 8
write_seconds: 9
heartbeat_seconds: 10
body_mib: 3
connections: 11
access_log: "-"
)";

std::string problem(const std::string& text, const std::string& name) {
  return error_of([&] { parse_serve_config(text, name); }).message().substr(name.size());
}

}  // namespace

TEST_CASE("every key is read") {
  const ServeConfig c = parse_serve_config(everything, "all.yml");
  CHECK(c.address == "::1");
  CHECK(c.port == 9000);
  CHECK(c.hosts == std::vector<std::string>{"llm.example"});
  REQUIRE(c.models.size() == 2);
  CHECK(c.models[0].place == "all.yml:5: models[0]");
  CHECK(c.models[0].embedding_tokens == 100);
  CHECK(c.models[1].path == "L.gguf");
  CHECK(c.heads.at(0).head == "h.safetensors");
  const HttpOptions& far = c.remotes.at(0).options;
  CHECK(far.api == HttpApi::anthropic_messages);
  CHECK(far.caching.ttl == CacheTtl::hour);
  CHECK(far.caching.openai_fields == false);
  CHECK(far.takes_sampling == false);
  CHECK(far.effort == "low");
  CHECK(far.default_max_tokens == 1000);
  CHECK(far.max_waiting == 9);
  CHECK_FALSE(far.obey_rate_limits);
  CHECK(far.proxy == "http://proxy:3128");
  CHECK(far.headers == std::vector<std::pair<std::string, std::string>>{{"anthropic-beta", "something"}});
  CHECK(far.timeouts.connect == 1s);
  CHECK(far.timeouts.total == 4500ms);
  CHECK(far.retries.most == 5);
  CHECK(far.retries.base == 250ms);
  CHECK(far.retries.budget == 0.5);
  CHECK(far.hedging.quantile == 0.95);
  CHECK(c.cascades.at(0).margin == 0.2);
  CHECK(c.cascades[0].streaming == CascadeStreaming::commit);
  CHECK(c.cascades.at(1).policy == "p.json");
  CHECK(c.splits.at(0).arms == std::vector<std::pair<std::string, double>>{{"auto", 1}, {"small", 9}});
  CHECK(c.keys.at(0).most_priority == -3);
  CHECK(c.budgets.at(0).limit.period == 24h);
  CHECK(c.budgets.at(1).model == "far");
  CHECK(c.budgets[1].place == "all.yml:40: budgets[1]");
  CHECK(c.prices.at(0).second.cache_write_1h == 0.1);
  CHECK(c.unknown_price == UnknownPrice::conservative);
  CHECK(c.stall_ms == 50.0);
  CHECK(c.tenant_weights.at(0) == std::pair<std::string, double>("team", 2));
  CHECK(c.speculate == std::vector<std::string>{"suffix"});
  CHECK(c.caps.at(0).type == "summary");
  CHECK(c.caps.at(1).tokens == 900);
  CHECK(c.repeat_guard);
  CHECK(c.backend.name == "cpu");
  CHECK(c.backend.threads == 2);
  CHECK(c.heartbeat_seconds == 10);
  CHECK(c.connections == 11);
  CHECK(c.access_log == "-");
}

TEST_CASE("the example's settings are read") {
  const std::string file = FRUGAL_TEST_DATA "/../examples/serve.yaml";
  const ServeConfig c = parse_serve_config(read_file(file), file);
  CHECK(c.models.at(0).embeddings == Pool::mean);
  CHECK(c.remotes.at(0).options.model == "claude-haiku-4-5");
  CHECK(c.cascades.at(0).tiers == std::vector<std::string>{"small", "far"});
  CHECK(c.budgets.size() == 3);
}

TEST_CASE("wrong settings are named alike in JSON and in YAML, by line and key") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{\"models\": [\n{\"path\": 3}]}", ":2: models[0].path must be a text"},
      {"{\"models\": [\n{\"path\": \"M\",\n\"pth\": \"x\"}]}", ":3: models[0].pth is not known here"},
      {"{\n\n\"listen\": \"here\"}", ":3: listen must be address:port"},
      {"{\"models\": [{\n\"name\": \"m\"}]}", ":1: models[0].path is missing"},
      {"[]", ":1: the file must be an object"},
      {"{\"models\":\n [{\"path\": \"M\"}],\n \"models\": []}", ":3: models occurs twice"},
      {"{\"prices\": {\"a\": {\"input\": 1,\n\"input\": 2}}}", ":2: prices.a.input occurs twice"},
      {"{\"prices\": {\"a\": {\"input\": 1, \"output\": 1},\n\"a\": {}}}", ":2: prices.a occurs twice"},
      {"{\"kv_mib\":\n\"32\"}", ":1: kv_mib must be a whole number from 0"},
      {"{\"kv_mib\": 1.5}", ":1: kv_mib must be a whole number"},
      {"{\"kv_mib\": 1e99}", ":1: kv_mib must be a whole number"},
      {"{\"keys\": [{\"file\": \"f\", \"most_priority\": 18446744073709551615}]}", ":1: keys[0].most_priority must be"},
      {"{\"kv_mib\": null}", ":1: kv_mib must be a whole number"},
      {"{\"listen\": null}", ":1: listen must be a text"},
      {"{\"models\": {}}", ":1: models must be a list"},
      {"{\"models\": [\"M\"]}", ":1: models[0] must be an object"},
      {"{\"remotes\": [{\"name\": \"r\", \"url\": \"u\", \"model\": \"m\", \"timeouts\": {\n\"gap\": 1}}]}",
       ":2: remotes[0].timeouts.gap is not known here"},
      {"{\"remotes\": [{\"name\": \"r\", \"url\": \"u\", \"model\": \"m\", \"headers\": {\n\"a\": 1}}]}",
       ":2: remotes[0].headers.a must be a text"},
      {"{\"cascades\": [{\"name\": \"c\", \"tiers\": [\"a\"], \"margin\": 0.1}]}", ":1: cascades[0].tiers must name"},
      {"{\"splits\": [{\"name\": \"s\", \"arms\": {\"a\": 1}}]}", ":1: splits[0].arms must name at least two"},
      {"{\"speculate\": [\"magic\"]}", ":1: speculate must name suffix or prompt_lookup"},
      {"{\"caps\": [{}]}", ":1: caps[0].tokens is missing"},
      {R"({"caps": [{"tokens": 1},
 {"tokens": 2}]})",
       ":2: caps[1] is a second cap"},
      {R"({"caps": [{"type": "t", "tokens": 1}, {"tokens": 2},
 {"tokens": 2, "type": "t"}]})",
       ":2: caps[2].type has a cap already: \"t\""},
      {R"({"speculate": ["suffix", "suffix"]})", ":1: speculate names \"suffix\" twice"},
      {R"({"cascades": [{"name": "c", "margin": 0.1, "tiers": ["a", "b", "a"]}]})",
       ":1: cascades[0].tiers names \"a\" twice"},
      {R"({"budgets": [{"usd": 1, "tenant": "t"}, {"usd": 1}, {"usd": 2, "tenant": "t"}]})",
       ":1: budgets[2] holds for the same"},
      {"{\"repeat_guard\": \"yes\"}", ":1: repeat_guard must be true or false"},
      {"{\"drain_seconds\": -1}", ":1: drain_seconds must be a number from 0"},
      {"{\"a\\u0062c\": 1}", ":1: abc is not known here"},
  };
  for (const auto& [text, said] : cases) {
    const std::string json = problem(text, "f.json"), yaml = problem(text, "f.yaml");
    INFO(json);
    CHECK(json.rfind(said, 0) == 0);
    CHECK(yaml == json);
  }
}

TEST_CASE("wrong YAML is named by line and key") {
  CHECK(problem("models:\n  - path: S.gguf\n    embeddings: max\n", ".yaml") ==
        ":3: models[0].embeddings must be mean or last");
  CHECK(problem("models:\n  - name: m\n", ".yaml") == ":2: models[0].path is missing");
  CHECK(problem("kv_mib: 007\n", ".yaml").rfind(":1: kv_mib must be a whole number", 0) == 0);
  CHECK(problem("repeat_guard: yes\n", ".yaml") == ":1: repeat_guard must be true or false");
  CHECK(problem("models:\n  - path: 5\n", ".yaml") == ":2: models[0].path must be a text that is not empty");
  CHECK(problem("kv_mib: 1\nkv_mib: 2\n", ".yaml") == ":2: kv_mib occurs twice");
  CHECK(problem("kv_mib: 1e999\n", ".yaml") == ":1: a number out of range");
  CHECK(problem("- 1\n", ".yaml") == ":1: the file must be an object");
}

TEST_CASE("malformed JSON is named by line") {
  CHECK(problem("{\"models\": [\n{\"path\": \"M\"}", "f.json") == ":2: the JSON ends too early");
  CHECK(problem("{\"models\": [],\n,}", "f.json") == ":2: not valid JSON");
  CHECK(problem("models: []\n", "f.json") == ":1: not valid JSON");
  CHECK(problem("{\"listen\": \"\xFF\"}", "f.json") == ":1: not valid JSON");
}

TEST_CASE("an address is in numbers, version 6 in brackets, with a port") {
  const auto listen = [](const std::string& text) {
    ServeConfig config;
    set_listen(config, text, "--listen");
    return config.address + " " + std::to_string(config.port);
  };
  CHECK(listen("0.0.0.0:0") == "0.0.0.0 0");
  CHECK(listen("[::]:65535") == ":: 65535");
  for (const char* wrong : {"localhost:80", "::1:80", "[127.0.0.1]:80", "127.0.0.1", "127.0.0.1:", ":80",
                            "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:8o", "[]:80", "unix:/tmp/s", ""})
    CHECK(mentions(error_of([&] { listen(wrong); }), "--listen must be address:port in numbers"));
}

TEST_CASE("a mark of the byte order and the largest size") {
  CHECK(problem("\xEF\xBB\xBF{\n\"kv_mib\": \"x\"}", "f.json").rfind(":2: kv_mib must", 0) == 0);
  CHECK(problem("\xEF\xBB\xBFlisten: 127.0.0.1:1\nkv_mib: x\n", ".yaml").rfind(":2: kv_mib must", 0) == 0);
  for (const char* name : {"f.json", "f.yaml"})
    CHECK(problem("kv_mib: " + std::string(1 << 20, ' '), name) == ": settings are at most 1 MiB");
}

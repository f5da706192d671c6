#include "tools/serve_config.hpp"

#include <frugal/core/error.hpp>

#include <charconv>
#include <chrono>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "core/json_tree.hpp"
#include "tools/json_section.hpp"

namespace frugal::tools {

namespace {

void read_caching(Section& s, HttpCaching& caching) {
  std::pair<bool, std::optional<CacheTtl>> cache{caching.on, caching.ttl};
  s.choice("cache", cache,
           {{"auto", {true, std::nullopt}},
            {"minutes", {true, CacheTtl::minutes5}},
            {"hour", {true, CacheTtl::hour}},
            {"off", {false, std::nullopt}}});
  std::tie(caching.on, caching.ttl) = cache;
  bool fields = false;
  if (s.take("openai_fields") != nullptr) {
    s.flag("openai_fields", fields);
    caching.openai_fields = fields;
  }
}

void read_model(Section& s, ServeConfig& config) {
  ServeModel model;
  s.text("path", model.path, true);
  s.text("name", model.name);
  s.choice("embeddings", model.embeddings, {{"mean", Pool::mean}, {"last", Pool::last}});
  s.whole("embedding_tokens", model.embedding_tokens, 1, 1 << 20);
  config.models.push_back(std::move(model));
}

// Dollars per million tokens, and per call.
Rates read_rates(Section& s) {
  Rates rates;
  const std::pair<const char*, std::optional<double> Rates::*> known[] = {{"input", &Rates::input},
                                                                          {"cached_read", &Rates::cached_read},
                                                                          {"cache_write", &Rates::cache_write},
                                                                          {"cache_write_1h", &Rates::cache_write_1h},
                                                                          {"output", &Rates::output},
                                                                          {"reasoning", &Rates::reasoning},
                                                                          {"call", &Rates::call}};
  for (const auto& [name, member] : known) rates.*member = s.number(name, 0, 1e9);
  if (!rates.input || !rates.output) s.wrong("", "needs input and output, in dollars per million tokens");
  return rates;
}

void read_money(Section& s, ServeConfig& config) {
  s.text("price_file", config.price_file);
  s.inside("prices", [&](Section& prices) {
    for (const std::string& name : prices.names())
      prices.inside(name.c_str(), [&](Section& one) { config.prices.emplace_back(name, read_rates(one)); });
  });
  s.whole("most_output", config.most_output, 1, std::numeric_limits<std::int32_t>::max());
  s.choice("unknown_price", config.unknown_price,
           {{"refuse", UnknownPrice::fail}, {"highest", UnknownPrice::conservative}, {"free", UnknownPrice::warn}});
  s.each("budgets", [&](Section& b) {
    ServeBudget budget;
    b.text("model", budget.model);
    b.text("tenant", budget.limit.tenant);
    b.text("type", budget.limit.type);
    const std::optional<double> usd = b.number("usd", 0, 4e9);
    if (!usd) b.wrong("usd", "is missing");
    budget.limit.usd = *usd;
    const double hours = b.number("period_hours", 1.0 / 3600, 24.0 * 3660).value_or(0);
    budget.limit.period = std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::ratio<3600>>(hours));
    budget.place = b.place() + b.path("");
    config.budgets.push_back(std::move(budget));
  });
}

void read_remote(Section& s, ServeConfig& config) {
  ServeRemote remote;
  s.text("name", remote.name, true);
  s.text("url", remote.options.url, true);
  s.text("model", remote.options.model, true);
  s.text("key_file", remote.key_file);
  s.text("ca_file", remote.options.ca_file);
  s.choice("api", remote.options.api,
           {{"openai_chat", HttpApi::openai_chat},
            {"openai_responses", HttpApi::openai_responses},
            {"anthropic_messages", HttpApi::anthropic_messages}});
  s.flag("extended_sampling", remote.options.extended_sampling);
  s.flag("completion_tokens_field", remote.options.completion_tokens_field);
  s.whole("max_running", remote.options.max_running, 1, 100'000);
  read_caching(s, remote.options.caching);
  remote.options.name = remote.name;
  config.remotes.push_back(std::move(remote));
}

void read_cascade(Section& s, ServeConfig& config) {
  ServeCascade cascade;
  s.text("name", cascade.name, true);
  cascade.tiers = s.texts("tiers", true);
  cascade.margin = s.number("margin", 0, 1);
  s.text("policy", cascade.policy);
  if (cascade.tiers.size() < 2) s.wrong("tiers", "must name at least two");
  if (cascade.margin.has_value() == !cascade.policy.empty()) s.wrong("", "needs either margin or policy");
  config.cascades.push_back(std::move(cascade));
}

void read_lists(Section& s, ServeConfig& config) {
  s.each("models", [&](Section& m) { read_model(m, config); });
  s.each("remotes", [&](Section& r) { read_remote(r, config); });
  s.each("cascades", [&](Section& c) { read_cascade(c, config); });
  s.each("keys", [&](Section& k) {
    ServeKey key;
    k.text("file", key.file, true);
    k.text("tenant", key.tenant);
    k.whole("most_priority", key.most_priority, std::numeric_limits<std::int32_t>::min(),
            std::numeric_limits<std::int32_t>::max());
    config.keys.push_back(std::move(key));
  });
}

}  // namespace

void set_listen(ServeConfig& config, const std::string& text, const std::string& origin) {
  const std::size_t colon = text.rfind(':');
  unsigned port = 0;
  const char* const end = text.data() + text.size();
  const bool fine = colon != std::string::npos && colon > 0 &&
                    std::from_chars(text.data() + colon + 1, end, port).ptr == end && colon + 1 < text.size() &&
                    port <= std::numeric_limits<std::uint16_t>::max();
  if (!fine) throw Error(Errc::invalid_argument, origin + " must be address:port, e.g. 127.0.0.1:8080");
  config.address = text.substr(0, colon);
  if (config.address.size() > 2 && config.address.front() == '[' && config.address.back() == ']')
    config.address = config.address.substr(1, config.address.size() - 2);
  config.port = static_cast<std::uint16_t>(port);
}

ServeConfig parse_serve_config(std::string_view json, const std::string& origin) {
  const Json parsed = parse_json_tree(json, origin, {.repeated = RepeatedKeys::refused});
  ServeConfig config;
  {
    Section s(parsed, json, origin);
    std::string listen;
    s.text("listen", listen);
    if (!listen.empty()) set_listen(config, listen, s.place("listen") + "listen");
    read_lists(s, config);
    read_money(s, config);
    s.whole("kv_mib", config.kv_mib, 0, 1 << 20);
    s.whole("max_running", config.max_running, 1, 4096);
    s.whole("max_waiting", config.max_waiting, 0, 1'000'000);
    config.speculate = s.texts("speculate");
    config.drain_seconds = s.number("drain_seconds", 0, 86400).value_or(config.drain_seconds);
    s.whole("body_mib", config.body_mib, 1, 1024);
    s.whole("connections", config.connections, 1, 1'000'000);
    s.text("access_log", config.access_log);
  }
  return config;
}

}  // namespace frugal::tools

#include "tools/serve_config.hpp"

#include <arpa/inet.h>

#include <frugal/core/error.hpp>

#include <charconv>
#include <chrono>
#include <limits>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "core/json_tree.hpp"
#include "tools/json_section.hpp"
#include "tools/yaml_text.hpp"

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

std::string here(const Section& s, const char* key = "") { return s.place(key) + s.path(key); }

// What is written twice means something else than its writer thinks.
void refuse_twice(const Section& s, const char* key, const std::vector<std::string>& names) {
  std::set<std::string> known;
  for (const std::string& name : names)
    if (!known.insert(name).second) s.wrong(key, "names \"" + name + "\" twice");
}

std::optional<Duration> seconds(Section& s, const char* key, double low) {
  const std::optional<double> value = s.number(key, low, 86400);
  if (!value) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*value));
}

void read_model(Section& s, ServeConfig& config) {
  ServeModel model;
  model.place = here(s);
  s.text("path", model.path, true);
  s.text("name", model.name);
  s.choice("embeddings", model.embeddings, {{"mean", Pool::mean}, {"last", Pool::last}});
  s.whole("embedding_tokens", model.embedding_tokens, 1, 1 << 20);
  config.models.push_back(std::move(model));
}

void read_head(Section& s, ServeConfig& config) {
  ServeHead head;
  head.place = here(s);
  s.text("name", head.name, true);
  s.text("head", head.head, true);
  s.text("model", head.model, true);
  config.heads.push_back(std::move(head));
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
  config.places.price_file = here(s, "price_file");
  config.prices = s.pairs<Rates>("prices", [](Section& prices, const char* name) {
    Rates rates;
    prices.inside(name, [&](Section& one) { rates = read_rates(one); });
    return rates;
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
    budget.place = here(b);
    for (const ServeBudget& other : config.budgets)
      if (std::tie(other.model, other.limit.tenant, other.limit.type, other.limit.period) ==
          std::tie(budget.model, budget.limit.tenant, budget.limit.type, budget.limit.period))
        b.wrong("", "holds for the same requests and the same period as another one");
    config.budgets.push_back(std::move(budget));
  });
}

// How long to wait, and what to try again.
void read_patience(Section& s, HttpOptions& o) {
  s.inside("timeouts", [&](Section& t) {
    o.timeouts.connect = seconds(t, "connect_seconds", 0).value_or(o.timeouts.connect);
    o.timeouts.first_byte = seconds(t, "first_byte_seconds", 0).value_or(o.timeouts.first_byte);
    o.timeouts.gap = seconds(t, "gap_seconds", 0).value_or(o.timeouts.gap);
    o.timeouts.total = seconds(t, "total_seconds", 0).value_or(o.timeouts.total);
  });
  s.inside("retries", [&](Section& r) {
    r.whole("most", o.retries.most, 0, 100);
    o.retries.base = seconds(r, "base_seconds", 0).value_or(o.retries.base);
    o.retries.longest = seconds(r, "longest_seconds", 0).value_or(o.retries.longest);
    o.retries.budget = r.number("budget", 0, 1).value_or(o.retries.budget);
  });
  s.inside("hedging", [&](Section& h) {
    o.hedging.budget = h.number("budget", 0, 1).value_or(o.hedging.budget);
    o.hedging.quantile = h.number("quantile", 0.5, 0.9999).value_or(o.hedging.quantile);
    h.whole("learn", o.hedging.learn, 1, 100'000);
  });
}

void read_remote(Section& s, ServeConfig& config) {
  ServeRemote remote;
  remote.place = here(s);
  s.text("name", remote.name, true);
  s.text("url", remote.options.url, true);
  s.text("model", remote.options.model, true);
  s.text("key_file", remote.key_file);
  s.text("ca_file", remote.options.ca_file);
  s.choice("api", remote.options.api,
           {{"openai_chat", HttpApi::openai_chat},
            {"openai_responses", HttpApi::openai_responses},
            {"openai_completions", HttpApi::openai_completions},
            {"anthropic_messages", HttpApi::anthropic_messages}});
  s.flag("extended_sampling", remote.options.extended_sampling);
  s.flag("completion_tokens_field", remote.options.completion_tokens_field);
  if (s.take("takes_sampling") != nullptr) s.flag("takes_sampling", remote.options.takes_sampling.emplace());
  s.text("effort", remote.options.effort);
  if (s.take("thinking_tokens") != nullptr)
    s.whole("thinking_tokens", remote.options.thinking_tokens.emplace(), 1024, 1 << 30);
  s.whole("default_max_tokens", remote.options.default_max_tokens, 1, 1 << 30);
  s.whole("max_running", remote.options.max_running, 1, 100'000);
  s.whole("max_waiting", remote.options.max_waiting, 0, 1'000'000);
  s.flag("obey_rate_limits", remote.options.obey_rate_limits);
  s.text("proxy", remote.options.proxy);
  remote.options.headers = s.pairs<std::string>("headers", [](Section& h, const char* name) {
    std::string value;
    h.text(name, value);
    return value;
  });
  read_patience(s, remote.options);
  read_caching(s, remote.options.caching);
  remote.options.name = remote.name;
  config.remotes.push_back(std::move(remote));
}

void read_cascade(Section& s, ServeConfig& config) {
  ServeCascade cascade;
  cascade.place = here(s);
  s.text("name", cascade.name, true);
  cascade.tiers = s.texts("tiers", true);
  cascade.margin = s.number("margin", 0, 1);
  s.text("policy", cascade.policy);
  s.choice("streaming", cascade.streaming,
           {{"buffer", CascadeStreaming::buffer}, {"commit", CascadeStreaming::commit}});
  if (cascade.tiers.size() < 2) s.wrong("tiers", "must name at least two");
  refuse_twice(s, "tiers", cascade.tiers);
  if (cascade.margin.has_value() == !cascade.policy.empty()) s.wrong("", "needs either margin or policy");
  config.cascades.push_back(std::move(cascade));
}

void read_split(Section& s, ServeConfig& config) {
  ServeSplit split;
  split.place = here(s);
  s.text("name", split.name, true);
  s.text("experiment", split.experiment);
  split.arms =
      s.pairs<double>("arms", [](Section& arms, const char* name) { return arms.number(name, 0, 1e6).value_or(0); });
  if (split.arms.size() < 2) s.wrong("arms", "must name at least two, each with its share");
  config.splits.push_back(std::move(split));
}

void read_lists(Section& s, ServeConfig& config) {
  s.each("models", [&](Section& m) { read_model(m, config); });
  s.each("heads", [&](Section& h) { read_head(h, config); });
  s.each("remotes", [&](Section& r) { read_remote(r, config); });
  s.each("cascades", [&](Section& c) { read_cascade(c, config); });
  s.each("splits", [&](Section& d) { read_split(d, config); });
  s.each("keys", [&](Section& k) {
    ServeKey key;
    key.place = here(k);
    k.text("file", key.file, true);
    k.text("tenant", key.tenant);
    k.whole("most_priority", key.most_priority, std::numeric_limits<std::int32_t>::min(),
            std::numeric_limits<std::int32_t>::max());
    config.keys.push_back(std::move(key));
  });
}

void read_engine(Section& s, ServeConfig& config) {
  s.whole("kv_mib", config.kv_mib, 0, 1 << 20);
  s.whole("max_running", config.max_running, 1, 4096);
  s.whole("max_waiting", config.max_waiting, 0, 1'000'000);
  config.stall_ms = s.number("stall_ms", 0.1, 60'000);
  config.tenant_weights = s.pairs<double>(
      "tenant_weights", [](Section& w, const char* name) { return w.number(name, 1e-6, 1e6).value_or(1); });
  config.speculate = s.texts("speculate");
  for (const std::string& name : config.speculate)
    if (!is_drafter(name)) s.wrong("speculate", "must name suffix or prompt_lookup");
  refuse_twice(s, "speculate", config.speculate);
  s.each("caps", [&](Section& c) {
    ServeCap cap;
    c.text("type", cap.type);
    c.whole("tokens", cap.tokens, 1, 1 << 30);
    if (cap.tokens == 0) c.wrong("tokens", "is missing");
    for (const ServeCap& other : config.caps)
      if (other.type == cap.type)
        c.wrong(cap.type.empty() ? "" : "type", cap.type.empty()
                                                    ? "is a second cap of all types that have none of their own"
                                                    : "has a cap already: \"" + cap.type + "\"");
    config.caps.push_back(std::move(cap));
  });
  s.flag("repeat_guard", config.repeat_guard);
  s.text("backend", config.backend.name);
  s.text("device", config.backend.device);
  config.places.backend = s.place("backend");
  config.places.device = s.place("device");
  config.places.tenant_weights = here(s, "tenant_weights");
  config.places.kv_mib = here(s, "kv_mib");
  s.whole("threads", config.backend.threads, 0, 1024);
}

void read_limits(Section& s, ServeConfig& config) {
  config.drain_seconds = s.number("drain_seconds", 0, 86400).value_or(config.drain_seconds);
  config.idle_seconds = s.number("idle_seconds", 0.1, 86400).value_or(config.idle_seconds);
  config.write_seconds = s.number("write_seconds", 0.1, 86400).value_or(config.write_seconds);
  config.heartbeat_seconds = s.number("heartbeat_seconds", 0.1, 86400).value_or(config.heartbeat_seconds);
  s.whole("body_mib", config.body_mib, 1, 1024);
  s.whole("connections", config.connections, 1, 1'000'000);
}

bool ends_in(const std::string& name, std::string_view end) {
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

bool is_drafter(const std::string& name) { return name == "suffix" || name == "prompt_lookup"; }

void set_listen(ServeConfig& config, const std::string& text, const std::string& origin) {
  const std::size_t colon = text.rfind(':');
  unsigned port = 0;
  const char* const end = text.data() + text.size();
  std::string address = text.substr(0, colon);
  const bool v6 = address.size() > 2 && address.front() == '[' && address.back() == ']';
  if (v6) address = address.substr(1, address.size() - 2);
  in6_addr bytes{};  // of either kind
  const bool fine = colon != std::string::npos && inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), &bytes) == 1 &&
                    std::from_chars(text.data() + colon + 1, end, port).ptr == end && colon + 1 < text.size() &&
                    port <= std::numeric_limits<std::uint16_t>::max();
  if (!fine)
    throw Error(Errc::invalid_argument, origin + " must be address:port in numbers, e.g. 127.0.0.1:8080 or [::1]:8080");
  config.address = std::move(address);
  config.port = static_cast<std::uint16_t>(port);
}

ServeConfig parse_serve_config(std::string_view text, const std::string& origin) {
  constexpr std::size_t most_bytes = std::size_t{1} << 20;
  if (text.size() > most_bytes) throw Error(Errc::bad_file, origin + ": settings are at most 1 MiB");
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);  // the mark that some editors put first
  std::string translated;
  if (ends_in(origin, ".yaml") || ends_in(origin, ".yml")) text = translated = json_from_yaml(text, origin);
  const Json parsed = parse_json_tree(text, origin, {.by_line = true});
  ServeConfig config;
  {
    Section s(parsed, text, origin);
    std::string listen;
    s.text("listen", listen);
    if (!listen.empty()) set_listen(config, listen, s.place("listen") + "listen");
    config.hosts = s.texts("hosts");
    read_lists(s, config);
    read_money(s, config);
    read_engine(s, config);
    read_limits(s, config);
    s.text("access_log", config.access_log);
    config.places.access_log = here(s, "access_log");
  }
  return config;
}

}  // namespace frugal::tools

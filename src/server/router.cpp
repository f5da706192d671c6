#include "server/router.hpp"

#include <frugal/endpoint/endpoint.hpp>
#include <frugal/meter/metrics.hpp>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "core/caught.hpp"
#include "server/json.hpp"
#include "server/target.hpp"

namespace frugal::server {

namespace {

constexpr std::string_view messages_path = "/v1/messages", models_path = "/v1/models";

bool is_anthropic(const std::string& path) { return path.rfind(messages_path, 0) == 0; }

ApiError plain(int status, const std::string& message, const char* code = "") {
  return {status, Error(Errc::invalid_argument, message), {}, code, true};
}

bool open_to_all(const std::string& path) { return path == "/health" || path == "/ready"; }

bool reads(const Incoming& incoming) { return incoming.method == "GET" || incoming.method == "HEAD"; }

// Takes as long for a wrong key as for the right one, whatever they share.
bool same_secret(std::string_view a, std::string_view b) {
  unsigned char differ = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i)
    differ = static_cast<unsigned char>(differ | (a[i] ^ (b.empty() ? 1 : b[i % b.size()])));
  return differ == 0;
}

std::string iso(std::int64_t seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  const auto two = [](auto n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  return std::to_string(static_cast<int>(date.year())) + "-" + two(static_cast<unsigned>(date.month())) + "-" +
         two(static_cast<unsigned>(date.day())) + "T" + two(clock.hours().count()) + ":" +
         two(clock.minutes().count()) + ":" + two(clock.seconds().count()) + "Z";
}

Json openai_model(const Served& served, std::int64_t created) {
  return {{"id", served.model.name}, {"object", "model"}, {"created", created}, {"owned_by", "frugal"}};
}

Json anthropic_model(const Served& served, std::int64_t created) {
  return {
      {"type", "model"}, {"id", served.model.name}, {"display_name", served.model.name}, {"created_at", iso(created)}};
}

// A client that says which version of Anthropic's API it speaks wants its lists, too.
bool speaks_anthropic(const Incoming& incoming) { return !incoming.header("anthropic-version").empty(); }

}  // namespace

Router::Router(const ServerOptions& options, const Catalogue& catalogue, const ErrorCounter& errors)
    : options_(options), catalogue_(catalogue), errors_(errors) {}

Outgoing Router::error(const std::string& path, const ApiError& error, const std::string& request_id) {
  Outgoing out{.status = error.status,
               .body = is_anthropic(path) ? anthropic_error(error, request_id) : openai_error(error),
               .error = error.error.code(),
               .field = error.field};
  if (error.final) out.headers.emplace_back("x-should-retry", "false");
  if (error.status == 503) out.headers.emplace_back("retry-after", "1");
  if (error.status == 401) out.headers.emplace_back("www-authenticate", "Bearer");
  return out;
}

// A page in a browser can make its own name stand for 127.0.0.1 (DNS rebinding) and then ask as if it were this server's.
// A key keeps it out; without one the name in the Host header does.
bool Router::answers_to(std::string_view host) const {
  if (is_address_or_localhost(host)) return true;
  const auto named = [&](const std::string& name) { return names_host(host, name); };
  if (!options_.hosts.empty()) return std::any_of(options_.hosts.begin(), options_.hosts.end(), named);
  const bool loopback = options_.address == "::1" || options_.address.rfind("127.", 0) == 0;
  return !loopback || !options_.keys.empty();
}

const ApiKey* Router::key_of(const Incoming& incoming) const {
  std::string_view given = incoming.header("x-api-key");
  const std::string_view bearer = incoming.header("authorization");
  if (given.empty() && bearer.size() > 7 && (bearer.substr(0, 7) == "Bearer " || bearer.substr(0, 7) == "bearer "))
    given = bearer.substr(7);
  const ApiKey* found = nullptr;
  for (const ApiKey& key : options_.keys)
    if (same_secret(given, key.key)) found = &key;
  return found;
}

std::optional<Outgoing> Router::refusal(Incoming& incoming) const {
  if (open_to_all(incoming.path)) return std::nullopt;
  const auto no = [&](const ApiError& why) { return error(incoming.path, why, incoming.id); };
  if (!answers_to(incoming.header("host")))
    return no(plain(403, "this server answers to its address and to localhost only; give it keys, or name its hosts"));
  if (options_.keys.empty()) return std::nullopt;
  const ApiKey* const key = key_of(incoming);
  if (key == nullptr) return no(plain(401, "the API key is missing or wrong", "invalid_api_key"));
  incoming.tenant = key->tenant;
  incoming.most_priority = key->most_priority;
  return std::nullopt;
}

Route Router::route(Incoming& incoming, bool draining) const {
  Route route;
  const auto fail = [&](ApiError error) {
    route.answer = Router::error(incoming.path, error, incoming.id);
    if (route.path.empty()) route.path = "(unknown)";
    return std::move(route);
  };
  const auto wrong_method = [&](const char* use, const char* allowed) {
    Route out = fail(plain(405, std::string("use ") + use + " here", "method_not_allowed"));
    out.answer->headers.emplace_back("allow", allowed);
    return out;
  };
  if (open_to_all(incoming.path)) {
    route.path = incoming.path;
    if (!reads(incoming)) return wrong_method("GET", "GET, HEAD");
    const bool ready = !draining && std::all_of(catalogue_.models.begin(), catalogue_.models.end(),
                                                [](const Served& s) { return s.model.endpoint->load().accepting; });
    const bool fine = incoming.path == "/health" || ready;
    route.answer =
        Outgoing{.status = fine ? 200 : 503, .body = fine ? R"({"status":"ok"})" : R"({"status":"draining"})"};
    return route;
  }
  if (std::optional<Outgoing> no = refusal(incoming)) return {.answer = std::move(no), .path = "(unknown)"};
  try {
    route = known(incoming);
  } catch (const Refused& refused) {
    route.path = models_path;
    return fail(refused.why);
  }
  if (route.path.empty())
    return fail(plain(404, "there is nothing at this path; the APIs are below /v1", "unknown_url"));
  const bool post = route.dialect != nullptr || route.path == "/v1/messages/count_tokens";
  if (post && incoming.method != "POST") return wrong_method("POST", "POST");
  if (!post && !reads(incoming)) return wrong_method("GET", "GET, HEAD");
  if (post && !is_json_type(incoming.header("content-type")))
    return fail(plain(415, "the content-type must be application/json"));
  if (post && !incoming.header("content-encoding").empty() && incoming.header("content-encoding") != "identity")
    return fail(plain(415, "the body must be sent as it is: no content-encoding is known here"));
  if (draining && post)
    return fail({503, Error(Errc::unavailable, "the server is shutting down"), {}, "shutting_down", false});
  return route;
}

Route Router::known(Incoming& incoming) const {
  const std::string& path = incoming.path;
  if (path == "/v1/chat/completions") return {.dialect = &openai_chat(), .path = path};
  if (path == "/v1/embeddings") return {.dialect = &openai_embeddings(), .path = path};
  if (path == "/v1/completions") return {.dialect = &openai_completions(), .path = path};
  if (path == messages_path) return {.dialect = &anthropic_messages(), .path = path};
  if (path == "/v1/messages/count_tokens") {
    const auto count = [this](const Incoming& asked) {
      try {
        return Outgoing{.body = anthropic_token_count(asked, catalogue_)};
      } catch (const Refused& refused) {
        return error(asked.path, refused.why, asked.id);
      }
    };
    return {.work = count, .path = path};
  }
  if (path == "/metrics") return {.work = [this](const Incoming&) { return metrics(); }, .path = path};
  if (path == models_path) return {.answer = reads(incoming) ? models(incoming) : Outgoing(), .path = path};
  if (path.rfind(models_path, 0) == 0 && path.size() > models_path.size() + 1 && path[models_path.size()] == '/')
    return {.answer = model(incoming, percent_decoded(path.substr(models_path.size() + 1))),
            .path = "/v1/models/{name}"};
  return {};
}

Outgoing Router::models(const Incoming& incoming) const {
  Json list = Json::array();
  const bool anthropic = speaks_anthropic(incoming);
  for (const Served& served : catalogue_.models)
    list.push_back(anthropic ? anthropic_model(served, catalogue_.created) : openai_model(served, catalogue_.created));
  if (!anthropic) return {.body = dumped(Json{{"object", "list"}, {"data", std::move(list)}})};
  return {.body = dumped(Json{{"data", std::move(list)},
                              {"has_more", false},
                              {"first_id", catalogue_.models.front().model.name},
                              {"last_id", catalogue_.models.back().model.name}})};
}

Outgoing Router::model(const Incoming& incoming, const std::string& name) const {
  const Served& served = catalogue_.find(name);
  return {.body = dumped(speaks_anthropic(incoming) ? anthropic_model(served, catalogue_.created)
                                                    : openai_model(served, catalogue_.created))};
}

Outgoing Router::metrics() const {
  ServerGauges gauges = options_.gauges ? options_.gauges() : ServerGauges();
  std::set<const Endpoint*> seen;
  const auto add = [&](const std::string& name, const Endpoint* endpoint) {
    if (endpoint == nullptr || !seen.insert(endpoint).second) return;
    const Load load = endpoint->load();
    gauges.loads.push_back(
        {.endpoint = name, .running = load.running, .waiting = load.waiting, .free_tokens = load.free_tokens});
  };
  for (const Served& served : catalogue_.models) add(served.model.name, served.model.endpoint);
  for (const Served& served : catalogue_.models) add(served.model.name + " (embeddings)", served.model.embeddings);
  const Meter& meter = options_.meter != nullptr ? *options_.meter : no_meter_;
  const std::vector<ErrorAnswers> errors = errors_.all();
  return {.body = open_metrics(meter, {.budgets = options_.budgets,
                                       .loads = gauges.loads,
                                       .provider_caches = gauges.provider_caches,
                                       .errors = errors}),
          .type = "application/openmetrics-text; version=1.0.0; charset=utf-8"};
}

}  // namespace frugal::server

#include "tools/service.hpp"

#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>
#include <frugal/draft/drafters.hpp>
#include <frugal/endpoint/budgeted.hpp>
#include <frugal/endpoint/cascade.hpp>
#include <frugal/endpoint/metered.hpp>
#include <frugal/endpoint/split.hpp>
#include <frugal/head/embed.hpp>
#include <frugal/head/embedding_endpoint.hpp>
#include <frugal/head/head_endpoint.hpp>
#include <frugal/meter/metrics.hpp>
#include <frugal/model/identity.hpp>
#include <frugal/policy/cascade.hpp>
#include <frugal/policy/output.hpp>
#include <frugal/policy/prefix_cache.hpp>
#include <frugal/policy/speculation.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <span>

#include "tools/at_place.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"

namespace frugal::tools {

namespace {

Duration of_seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

/// One key: what a file holds, without blanks around it. In a file, because arguments and environments are seen by others.
std::string key_in(const std::string& file) {
  std::string key = read_all(file);
  const std::size_t first = key.find_first_not_of(" \t\r\n"), last = key.find_last_not_of(" \t\r\n");
  if (first == std::string::npos) throw Error(Errc::bad_file, file + ": holds no key");
  key = key.substr(first, last - first + 1);
  if (key.find_first_of(" \t\r\n") != std::string::npos)
    throw Error(Errc::bad_file, file + ": holds more than one key");
  return key;
}

Error two_of(const std::string& name) {
  return Error(Errc::invalid_argument, "two things are called \"" + name + "\"");
}

PriceBook book_of(const ServeConfig& config) {
  PriceBook book = PriceBook::built_in();
  if (!config.price_file.empty())
    at_place(config.places.price_file, [&] {
      const std::string text = read_all(config.price_file);
      at_place(config.price_file, [&] { book = book.with(PriceBook::parse(text)); });
    });
  for (const auto& [name, rates] : config.prices) book = book.with(name, rates);
  return book;
}

BackendChoice chosen(BackendChoice choice, const ServeBackend& settings) {
  if (choice.name.empty()) choice.name = settings.name;
  if (choice.device == BackendChoice().device && !settings.device.empty()) choice.device = settings.device;
  if (choice.threads == 0) choice.threads = settings.threads;
  return choice;
}

// Where what the command line says counts, it is named by its option.
std::shared_ptr<Backend> backend_of(const BackendChoice& choice, const ServeConfig& config) {
  constexpr std::string_view device = "--device", backend = "--backend";
  try {
    return make_backend(choice);
  } catch (const Error& error) {
    const std::string& text = error.message();
    const bool of_device = text.starts_with(device) && choice.device == config.backend.device;
    const bool of_backend = text.starts_with(backend) && choice.name == config.backend.name;
    if (!of_device && !of_backend) throw;
    throw Error(error.code(), (of_device ? config.places.device : config.places.backend) + text.substr(2));
  }
}

/// The policies of the settings under one name, which clients see where a cap ends an answer.
class Caps final : public OutputPolicy {
 public:
  explicit Caps(std::shared_ptr<OutputPolicy> inner) : inner_(std::move(inner)) {}
  std::string_view name() const override { return "caps"; }
  std::uint32_t budget(const RequestView& request) override { return inner_->budget(request); }
  std::optional<Stop> after(const SequenceView& sequence) override { return inner_->after(sequence); }
  void ended(const SequenceView& sequence, const AnswerOutcome& outcome) override { inner_->ended(sequence, outcome); }

 private:
  std::shared_ptr<OutputPolicy> inner_;
};

/// The cap of the request's type, or of all others.
std::shared_ptr<OutputPolicy> output_policy(const ServeConfig& config) {
  std::vector<std::shared_ptr<OutputPolicy>> all;
  for (const ServeCap& cap : config.caps)
    if (!cap.type.empty()) all.push_back(for_type(cap.type, max_tokens(cap.tokens)));
  for (const ServeCap& cap : config.caps)
    if (cap.type.empty()) all.push_back(max_tokens(cap.tokens));
  if (config.repeat_guard) all.push_back(repeat_guard());
  return all.empty() ? nullptr : std::make_shared<Caps>(first_of(std::move(all)));
}

}  // namespace

Service::Service(const ServeConfig& config, BackendChoice backend, bool quiet)
    : config_(config),
      backend_(chosen(std::move(backend), config.backend)),
      quiet_(quiet),
      prices_(book_of(config)),
      meter_({.prices = prices_, .log = &Service::log}) {
  make_budgets();
  load_models();
  make_heads();
  make_remotes();
  make_cascades();
  make_splits();
  check_budgets();
  open_log();
  server_ = std::make_unique<Server>(server_options());
}

std::string Service::names() const {
  std::string out;
  for (const ServedModel& m : served_) out += (out.empty() ? "" : ", ") + m.name;
  return out;
}

void Service::log(LogLevel level, std::uint64_t, std::string_view line) {
  if (level >= LogLevel::warning) std::cerr << "frugal serve: " << std::string(line) + "\n";
}

// --- models of this machine ---

EngineOptions Service::engine_options() const {
  EngineOptions options;
  options.backend = backend_of(backend_, config_);
  options.max_running = config_.max_running;
  options.max_waiting = config_.max_waiting;
  if (config_.stall_ms) options.stall_budget = of_seconds(*config_.stall_ms / 1000);
  options.tenant_weights = {config_.tenant_weights.begin(), config_.tenant_weights.end()};
  options.prefix_cache = greedy_dual_size();
  options.output = output_policy(config_);
  options.log = &Service::log;
  if (!config_.speculate.empty()) options.speculation = adaptive_drafts();
  for (const std::string& name : config_.speculate)
    options.drafters.push_back(name == "suffix" ? suffix_drafter() : prompt_lookup());
  return options;
}

void Service::load_models() {
  if (config_.models.empty()) return;
  EngineOptions options = engine_options();
  for (const ServeModel& m : config_.models) {
    at_place(m.place, [&] {
      std::shared_ptr<const Model> model = load_with_progress(m.path, quiet_);
      const std::string name = m.name.empty() ? model->name() : m.name;
      for (const EngineModel& other : options.models)
        if (other.name == name) throw two_of(name);
      options.models.push_back({name, std::move(model)});
    });
  }
  options.kv_bytes = kv_bytes(options);
  const std::vector<EngineModel> models = options.models;
  at_place(config_.kv_mib == 0 ? "" : config_.places.kv_mib,
           [&] { engine_ = std::make_unique<Engine>(std::move(options)); });
  for (std::size_t i = 0; i < models.size(); ++i)
    at_place(config_.models[i].place, [&] {
      const EngineModel& m = models[i];
      add(m.name, {&engine_->endpoint(m.name), model_identity(*m.model), {m.model}}, m.model);
      models_.emplace(m.name, m.model);
      if (config_.models[i].embeddings) add_embeddings(config_.models[i], m);
    });
}

// A backend of its own, because an engine's is driven by the engine alone; the CPU backend shares the weights.
void Service::add_embeddings(const ServeModel& wanted, const EngineModel& model) {
  EmbeddingEndpointOptions options;
  options.name = model.name;
  options.model = model.model;
  options.backend = backend_of(backend_, config_);
  options.pool = *wanted.embeddings;
  options.most_tokens = wanted.embedding_tokens;
  options.log = &Service::log;
  Endpoint& embedder = chain_.add<EmbeddingEndpoint>(std::move(options));
  served_.back().embeddings = &measured(model.name, within_model_budget(model.name, embedder));
}

// Unless told: room for the contexts of four long requests or many short ones, 2 GiB at most.
std::size_t Service::kv_bytes(const EngineOptions& options) const {
  if (config_.kv_mib != 0) return static_cast<std::size_t>(config_.kv_mib) << 20;
  std::size_t bytes = std::size_t{8} << 20;
  for (const EngineModel& m : options.models) {
    const DecoderSpec& spec = m.model->spec();
    bytes += 4 * std::size_t{2} * spec.layers * spec.kv_width() * sizeof(float) * spec.context;
  }
  return std::min(std::size_t{2} << 30, bytes);
}

void Service::make_heads() {
  for (const ServeHead& h : config_.heads)
    at_place(h.place, [&] {
      HeadEndpointOptions options;
      options.name = h.name;
      options.head = std::make_shared<const Head>(load_head(h.head));
      const auto served = models_.find(h.model);
      options.model = served != models_.end() ? served->second : load_with_progress(h.model, quiet_);
      options.backend = backend_of(backend_, config_);
      options.max_waiting = config_.max_waiting;
      options.log = &Service::log;
      const std::string identity = options.head->identity();
      add(h.name, {&chain_.add<HeadEndpoint>(std::move(options)), identity}, nullptr);
    });
}

// --- models elsewhere, and what is made of both ---

void Service::make_remotes() {
  for (const ServeRemote& r : config_.remotes)
    at_place(r.place, [&] {
      HttpOptions options = r.options;
      options.log = &Service::log;
      options.caching.prices = prices_;
      if (!r.key_file.empty()) options.key = [key = key_in(r.key_file)] { return key; };
      HttpEndpoint& remote = chain_.add<HttpEndpoint>(std::move(options));
      remotes_.push_back(&remote);
      add(r.name, {&remote, r.options.model}, nullptr);
    });
}

const Service::Part& Service::part(const std::string& name, const char* what) const {
  const auto found = parts_.find(name);
  if (found == parts_.end())
    throw Error(Errc::invalid_argument, std::string("there is no ") + what + " \"" + name + "\"");
  return found->second;
}

Endpoint* Service::join(Part& whole, const std::string& name, const char* what) const {
  const Part& one = part(name, what);
  for (const std::shared_ptr<const Model>& model : one.models)
    if (std::find(whole.models.begin(), whole.models.end(), model) == whole.models.end()) whole.models.push_back(model);
  return one.endpoint;
}

// Where the outcomes said which models answered, the same bytes must answer here.
std::shared_ptr<CascadePolicy> Service::fitted_policy(const ServeCascade& cascade) const {
  const FittedCascade fitted = FittedCascade::from_json(read_all(cascade.policy), cascade.policy);
  const std::vector<std::string>& recorded = fitted.models();
  std::vector<ServedTier> tiers;
  for (const std::string& name : cascade.tiers) {
    const bool said = tiers.size() < recorded.size() && !recorded[tiers.size()].empty();
    tiers.push_back({name, said ? part(name, "tier").identity : std::string()});
  }
  return fitted.policy(std::span<const ServedTier>(tiers), embedder(fitted.embedder()));
}

/// What a policy of neighbours compares requests by: the first layers of a model that is served here.
Embedder Service::embedder(const std::string& identity) const {
  if (identity.empty()) return {};
  for (const auto& [name, model] : models_)
    if (const auto state = hidden_state_of(identity, *model))
      return hidden_embedder(model, backend_of(backend_, config_), *state);
  throw Error(Errc::invalid_argument,
              "the policy compares requests by \"" + identity + "\", and no model of these settings is that one");
}

void Service::make_cascades() {
  for (const ServeCascade& c : config_.cascades)
    at_place(c.place, [&] {
      CascadeOptions options{.name = c.name, .tiers = {}, .policy = nullptr};
      Part whole{nullptr};
      for (const std::string& tier : c.tiers) options.tiers.push_back(join(whole, tier, "tier"));
      options.policy = c.margin ? margin_threshold(*c.margin) : fitted_policy(c);
      options.streaming = c.streaming;
      options.log = &Service::log;
      whole.endpoint = &chain_.add<Cascade>(std::move(options));
      add(c.name, std::move(whole), nullptr);
    });
}

void Service::make_splits() {
  for (const ServeSplit& s : config_.splits)
    at_place(s.place, [&] {
      SplitOptions options{.name = s.name, .arms = {}, .experiment = s.experiment};
      Part whole{nullptr};
      for (const auto& [name, share] : s.arms) options.arms.push_back({join(whole, name, "arm"), share});
      whole.endpoint = &chain_.add<Split>(std::move(options));
      add(s.name, std::move(whole), nullptr);
    });
}

void Service::add(const std::string& name, Part made, std::shared_ptr<const Model> model) {
  made.endpoint = &within_model_budget(name, *made.endpoint);
  Endpoint& limited = *made.endpoint;
  std::vector<std::shared_ptr<const Model>> tiers;
  if (!model) tiers = made.models;
  if (!parts_.emplace(name, std::move(made)).second) throw two_of(name);
  served_.push_back(
      {.name = name, .endpoint = &measured(name, limited), .model = std::move(model), .tiers = std::move(tiers)});
}

// --- the server ---

void Service::open_log() {
  if (config_.access_log.empty() || config_.access_log == "-") return;
  log_file_.open(config_.access_log, std::ios::app);
  if (!log_file_)
    throw Error(Errc::bad_file,
                config_.places.access_log + ": " + config_.access_log + " cannot be opened for writing");
}

ServerOptions Service::server_options() {
  ServerOptions options;
  options.address = config_.address;
  options.port = config_.port;
  options.hosts = config_.hosts;
  options.models = served_;
  for (const ServeKey& key : config_.keys)
    at_place(key.place, [&] {
      const std::string secret = key_in(key.file);
      if (secret.size() < ApiKey::least_length)
        throw Error(Errc::invalid_argument,
                    key.file + ": a key has at least " + std::to_string(ApiKey::least_length) + " characters");
      for (const ApiKey& other : options.keys)
        if (other.key == secret) throw Error(Errc::invalid_argument, key.file + ": another key is the same");
      options.keys.push_back({secret, key.tenant, key.most_priority});
    });
  options.limits.body_bytes = static_cast<std::size_t>(config_.body_mib) << 20;
  options.limits.connections = config_.connections;
  options.limits.idle = of_seconds(config_.idle_seconds);
  options.limits.write_time = of_seconds(config_.write_seconds);
  options.heartbeat = of_seconds(config_.heartbeat_seconds);
  options.drain_time = of_seconds(config_.drain_seconds);
  options.meter = &meter_;
  for (const auto& [model, budget] : budgets_) options.budgets.push_back({budget.get(), model});
  options.gauges = [this] { return gauges(); };
  options.log = &Service::log;
  if (!config_.access_log.empty())
    options.access_log = [this](std::string_view line) {
      std::ostream& out = config_.access_log == "-" ? std::cerr : log_file_;
      out << std::string(line) + "\n" << std::flush;
    };
  return options;
}

ServerGauges Service::gauges() const {
  ServerGauges out;
  if (engine_) {
    const EngineStats stats = engine_->stats();
    out.loads.push_back({.endpoint = std::string(engine_->name()),
                         .kv_bytes_total = stats.kv_bytes_total,
                         .kv_bytes_leased = stats.kv_bytes_leased,
                         .kv_bytes_indexed = stats.kv_bytes_indexed});
  }
  for (const HttpEndpoint* remote : remotes_)
    for (const HttpCacheReport& report : remote->cache_report())
      out.provider_caches.push_back({.endpoint = std::string(remote->name()),
                                     .type = report.type,
                                     .requests = report.requests,
                                     .missed = report.missed,
                                     .ignored = report.ignored,
                                     .too_short = report.too_short,
                                     .expected_read = report.expected_read,
                                     .billed_read = report.billed_read,
                                     .billed_write = report.billed_write});
  return out;
}

}  // namespace frugal::tools

// frugal serve: local models, remote ones and cascades of both behind the APIs that clients speak.
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>
#include <frugal/draft/drafters.hpp>
#include <frugal/endpoint/budgeted.hpp>
#include <frugal/endpoint/cascade.hpp>
#include <frugal/endpoint/metered.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/head/embedding_endpoint.hpp>
#include <frugal/meter/budget.hpp>
#include <frugal/meter/meter.hpp>
#include <frugal/model/model.hpp>
#include <frugal/policy/cascade.hpp>
#include <frugal/policy/prefix_cache.hpp>
#include <frugal/policy/speculation.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/backends.hpp"
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"
#include "tools/serve_config.hpp"

namespace frugal::tools {

namespace {

struct ServeOptions {
  std::string config, listen;
  std::vector<std::string> models, speculate, key_files;
  std::uint64_t kv_mib = 0;
  std::string access_log;
  BackendChoice backend;
  bool quiet = false;
};

constexpr const char* serve_examples = R"(Examples:
  frugal serve --model M.gguf
  frugal serve --model small=S.gguf --model large=L.gguf --listen 0.0.0.0:8080 --key-file team.key
  frugal serve --config serve.json
serve.json: {"listen": "127.0.0.1:8080", "models": [{"name": "s", "path": "M.gguf"}]}; docs/serving.md has all keys.
Clients: OpenAI(base_url="http://127.0.0.1:8080/v1") and Anthropic(base_url="http://127.0.0.1:8080").
SIGTERM and SIGINT end it: requests that run are finished first; a second signal cancels them.)";

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

ServeConfig config_of(const ServeOptions& o) {
  ServeConfig config;
  if (!o.config.empty()) config = parse_serve_config(read_all(o.config), o.config);
  for (const std::string& model : o.models) {
    const std::size_t sign = model.find('=');
    if (sign == std::string::npos)
      config.models.push_back({.path = model});
    else
      config.models.push_back({.name = model.substr(0, sign), .path = model.substr(sign + 1)});
  }
  if (!o.listen.empty()) set_listen(config, o.listen, "--listen");
  for (const std::string& file : o.key_files) config.keys.push_back({file, {}, 0});
  if (o.kv_mib != 0) config.kv_mib = o.kv_mib;
  if (!o.access_log.empty()) config.access_log = o.access_log;
  config.speculate.insert(config.speculate.end(), o.speculate.begin(), o.speculate.end());
  if (config.models.empty() && config.remotes.empty())
    throw Error(Errc::invalid_argument, "nothing to serve: give --model or --config");
  return config;
}

PriceBook book_of(const ServeConfig& config) {
  PriceBook book = PriceBook::built_in();
  if (!config.price_file.empty()) {
    try {
      book = book.with(PriceBook::parse(read_all(config.price_file)));
    } catch (const Error& error) {
      throw Error(error.code(), config.price_file + ": " + error.message());
    }
  }
  for (const auto& [name, rates] : config.prices) book = book.with(name, rates);
  return book;
}

/// Endpoints over endpoints: the last one that was built goes first.
class Chain {
 public:
  Chain() = default;
  ~Chain() {
    while (!all_.empty()) all_.pop_back();
  }
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;
  template <class Kind, class... Parts>
  Kind& add(Parts&&... parts) {
    auto made = std::make_unique<Kind>(std::forward<Parts>(parts)...);
    Kind& out = *made;
    all_.push_back(std::move(made));
    return out;
  }

 private:
  std::vector<std::unique_ptr<Endpoint>> all_{};
};

/// Everything that is served, in the order in which it has to be built; destroyed the other way round.
class Service {
 public:
  Service(const ServeConfig& config, const BackendChoice& backend, bool quiet)
      : config_(config), prices_(book_of(config)), meter_({.prices = prices_, .log = &Service::log}) {
    make_budgets();
    load_models(backend, quiet);
    make_remotes();
    make_cascades();
    check_budgets();
    open_log();
    server_ = std::make_unique<Server>(server_options());
  }
  Server& server() { return *server_; }
  std::string names() const {
    std::string out;
    for (const ServedModel& m : served_) out += (out.empty() ? "" : ", ") + m.name;
    return out;
  }

 private:
  static void log(LogLevel level, std::uint64_t, std::string_view line) {
    if (level >= LogLevel::warning) std::cerr << "frugal serve: " << std::string(line) + "\n";
  }

  void load_models(const BackendChoice& backend, bool quiet) {
    if (config_.models.empty()) return;
    EngineOptions options;
    options.backend = make_backend(backend);
    options.max_running = config_.max_running;
    options.max_waiting = config_.max_waiting;
    options.prefix_cache = greedy_dual_size();
    options.log = &Service::log;
    for (const ServeModel& m : config_.models) {
      std::shared_ptr<const Model> model = load_with_progress(m.path, quiet);
      options.models.push_back({m.name.empty() ? model->name() : m.name, std::move(model)});
    }
    if (!config_.speculate.empty()) options.speculation = adaptive_drafts();
    for (const std::string& what : config_.speculate) add_drafter(what, options);
    options.kv_bytes = kv_bytes(options);
    const std::vector<EngineModel> models = options.models;
    engine_ = std::make_unique<Engine>(std::move(options));
    for (std::size_t i = 0; i < models.size(); ++i) {
      add(models[i].name, engine_->endpoint(models[i].name), models[i].model);
      if (config_.models[i].embeddings) add_embeddings(config_.models[i], models[i], backend);
    }
  }

  // A backend of its own, because an engine's is driven by the engine alone; the CPU backend shares the weights.
  void add_embeddings(const ServeModel& wanted, const EngineModel& model, const BackendChoice& backend) {
    EmbeddingEndpointOptions options;
    options.name = model.name;
    options.model = model.model;
    options.backend = make_backend(backend);
    options.pool = *wanted.embeddings;
    options.most_tokens = wanted.embedding_tokens;
    options.log = &Service::log;
    Endpoint& embedder = chain_.add<EmbeddingEndpoint>(std::move(options));
    served_.back().embeddings = &measured(model.name, within_model_budget(model.name, embedder));
  }

  void make_budgets() {
    std::map<std::string, std::vector<Limit>> limits;
    for (const ServeBudget& b : config_.budgets) limits[b.model].push_back(b.limit);
    for (auto& [model, of_it] : limits)
      budgets_.emplace(model, std::make_unique<Budget>(BudgetOptions{.limits = std::move(of_it)}));
  }

  // The endpoint within the budget of that name, if there is one.
  Endpoint& within(const std::string& whose, const std::string& name, Endpoint& endpoint) {
    const auto budget = budgets_.find(whose);
    if (budget == budgets_.end()) return endpoint;
    BudgetedOptions options;
    options.prices = prices_;
    options.price_rules.unknown = config_.unknown_price;
    options.most_output = config_.most_output;
    options.model = name;
    return chain_.add<Budgeted>(endpoint, *budget->second, std::move(options));
  }

  // What a model may cost holds for it as a tier of a cascade as well.
  Endpoint& within_model_budget(const std::string& name, Endpoint& endpoint) { return within(name, name, endpoint); }

  // What all of them may cost together, and what they did.
  Endpoint& measured(const std::string& name, Endpoint& endpoint) {
    return chain_.add<Metered>(within("", name, endpoint), meter_);
  }

  // A budget without a price would refuse every request; that is better said now.
  void check_budgets() const {
    for (const ServeBudget& budget : config_.budgets) {
      if (!budget.model.empty() && bare_.count(budget.model) == 0)
        throw Error(Errc::invalid_argument, budget.place + ".model: nothing is called \"" + budget.model + "\"");
      if (config_.unknown_price != UnknownPrice::fail) continue;
      for (const auto& [name, endpoint] : bare_) {
        if (!budget.model.empty() && budget.model != name) continue;
        for (const std::string& model : endpoint->may_answer({}))
          if (!prices_.contains(model) && !prices_.contains(name))
            throw Error(Errc::invalid_argument, budget.place + ": there is no price for \"" + model +
                                                    "\"; give one in prices, or say what an unknown_price costs");
      }
    }
  }

  static void add_drafter(const std::string& what, EngineOptions& options) {
    if (what == "suffix")
      options.drafters.push_back(suffix_drafter());
    else if (what == "prompt_lookup")
      options.drafters.push_back(prompt_lookup());
    else
      throw Error(Errc::invalid_argument, "speculate: \"" + what + "\" must be suffix or prompt_lookup");
  }

  // Unless told: room for the contexts of four long requests or many short ones, 2 GiB at most.
  std::size_t kv_bytes(const EngineOptions& options) const {
    if (config_.kv_mib != 0) return static_cast<std::size_t>(config_.kv_mib) << 20;
    std::size_t bytes = std::size_t{8} << 20;
    for (const EngineModel& m : options.models) {
      const DecoderSpec& spec = m.model->spec();
      bytes += 4 * std::size_t{2} * spec.layers * spec.kv_width() * sizeof(float) * spec.context;
    }
    return std::min(std::size_t{2} << 30, bytes);
  }

  void make_remotes() {
    for (const ServeRemote& r : config_.remotes) {
      HttpOptions options = r.options;
      options.log = &Service::log;
      options.caching.prices = prices_;
      if (!r.key_file.empty()) options.key = [key = key_in(r.key_file)] { return key; };
      add(r.name, chain_.add<HttpEndpoint>(std::move(options)), nullptr);
    }
  }

  void make_cascades() {
    for (const ServeCascade& c : config_.cascades) {
      CascadeOptions options{.name = c.name, .tiers = {}, .policy = nullptr};
      for (const std::string& tier : c.tiers) {
        const auto found = bare_.find(tier);
        if (found == bare_.end())
          throw Error(Errc::invalid_argument, "cascade \"" + c.name + "\": there is no tier \"" + tier + "\"");
        options.tiers.push_back(found->second);
      }
      options.policy =
          c.margin ? margin_threshold(*c.margin) : load_cascade_policy(c.policy, std::span<const std::string>(c.tiers));
      options.log = &Service::log;
      add(c.name, chain_.add<Cascade>(std::move(options)), nullptr);
    }
  }

  void add(const std::string& name, Endpoint& endpoint, std::shared_ptr<const Model> model) {
    Endpoint& limited = within_model_budget(name, endpoint);
    if (!bare_.emplace(name, &limited).second)
      throw Error(Errc::invalid_argument, "two things are called \"" + name + "\"");
    served_.push_back({.name = name, .endpoint = &measured(name, limited), .model = std::move(model)});
  }

  void open_log() {
    if (config_.access_log.empty() || config_.access_log == "-") return;
    log_file_.open(config_.access_log, std::ios::app);
    if (!log_file_) throw Error(Errc::bad_file, config_.access_log + ": cannot be opened for writing");
  }

  ServerOptions server_options() {
    ServerOptions options;
    options.address = config_.address;
    options.port = config_.port;
    options.models = served_;
    for (const ServeKey& key : config_.keys) options.keys.push_back({key_in(key.file), key.tenant, key.most_priority});
    options.limits.body_bytes = static_cast<std::size_t>(config_.body_mib) << 20;
    options.limits.connections = config_.connections;
    options.drain_time = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(config_.drain_seconds));
    options.meter = &meter_;
    if (const auto all = budgets_.find(""); all != budgets_.end()) options.budget = all->second.get();
    options.log = &Service::log;
    if (!config_.access_log.empty())
      options.access_log = [this](std::string_view line) {
        std::ostream& out = config_.access_log == "-" ? std::cerr : log_file_;
        out << std::string(line) + "\n" << std::flush;
      };
    return options;
  }

  ServeConfig config_;
  PriceBook prices_;
  Meter meter_;
  std::map<std::string, std::unique_ptr<Budget>> budgets_{};  // by model; "" = all together
  std::unique_ptr<Engine> engine_{};
  Chain chain_{};
  std::map<std::string, Endpoint*> bare_{};
  std::vector<ServedModel> served_{};
  std::ofstream log_file_{};
  std::unique_ptr<Server> server_{};
};

void run_serve(const ServeOptions& o) {
  const ServeConfig config = config_of(o);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // in every thread that is made from here on
  auto service = std::make_unique<Service>(config, o.backend, o.quiet);
  const std::string host = config.address.find(':') == std::string::npos ? config.address : "[" + config.address + "]";
  print("listening on http://" + host + ":" + std::to_string(service->server().port()) + " for " + service->names() +
        "\n");
  int signal = 0;
  sigwait(&ends, &signal);
  if (!o.quiet) std::cerr << "frugal serve: draining\n";
  service->server().drain();
  Server& server = service->server();
  server.drain();
  while (!server.wait_for(std::chrono::milliseconds(50))) {
    const timespec at_once{0, 0};
    if (sigtimedwait(&ends, nullptr, &at_once) > 0) server.cancel();
  }
}

}  // namespace

Command add_serve(CLI::App& parent) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* app = parent.add_subcommand("serve", "Serve models to OpenAI's and Anthropic's clients over HTTP");
  app->add_option("--config", options->config, "A JSON file with everything that is served");
  app->add_option("--model", options->models,
                  "A GGUF file or Hugging Face folder, or NAME=PATH; may be given several times")
      ->allow_extra_args(false);
  app->add_option("--listen", options->listen,
                  "address:port; the default is 127.0.0.1:8080, port 0 takes any free one");
  app->add_option("--key-file", options->key_files,
                  "A file with a key that clients must have; may be given several times")
      ->allow_extra_args(false);
  app->add_option("--kv-mib", options->kv_mib, "Memory for keys and values; 0 = by the models' contexts, at most 2 GiB")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 20));
  app->add_option("--speculate", options->speculate, "Draft tokens from the text so far: suffix or prompt_lookup")
      ->allow_extra_args(false);
  app->add_option("--access-log", options->access_log, "One JSON line a request into this file; - = standard error");
  add_backend_options(*app, options->backend);
  app->add_flag("--quiet", options->quiet, "No progress on standard error");
  app->footer(serve_examples);
  return {app, [options] { run_serve(*options); }};
}

}  // namespace frugal::tools

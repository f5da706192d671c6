// Service: what a file of settings describes, built and served.
#pragma once

#include <frugal/engine/engine.hpp>
#include <frugal/http/http_endpoint.hpp>
#include <frugal/meter/budget.hpp>
#include <frugal/meter/meter.hpp>
#include <frugal/meter/price_book.hpp>
#include <frugal/model/model.hpp>
#include <frugal/policy/embedder.hpp>
#include <frugal/server/server.hpp>

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/backends.hpp"
#include "tools/serve_config.hpp"

namespace frugal::tools {

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

/// Everything that is served, in the order in which it has to be built; destroyed the other way round. Listens from its
/// constructor on, which throws Error that names what in the settings is wrong.
class Service {
 public:
  Service(const ServeConfig& config, BackendChoice backend, bool quiet);
  Server& server() { return *server_; }
  std::string names() const;

 private:
  /// What one name of the settings stands for.
  struct Part {
    Endpoint* endpoint;      ///< within its own budget
    std::string identity{};  ///< by which a cascade's policy knows what answers; empty for what is composed
    std::vector<std::shared_ptr<const Model>> models{};  ///< local ones that may answer, each once
  };

  static void log(LogLevel level, std::uint64_t, std::string_view line);

  void make_budgets();
  void load_models();
  EngineOptions engine_options() const;
  std::size_t kv_bytes(const EngineOptions& options) const;
  void add_embeddings(const ServeModel& wanted, const EngineModel& model);
  void make_heads();
  void make_remotes();
  void make_cascades();
  void make_splits();
  std::shared_ptr<CascadePolicy> fitted_policy(const ServeCascade& cascade) const;
  Embedder embedder(const std::string& identity) const;
  const Part& part(const std::string& name, const char* what) const;
  /// Another part that `whole` is made of; its endpoint.
  Endpoint* join(Part& whole, const std::string& name, const char* what) const;
  Endpoint& within(const std::string& whose, const std::string& name, Endpoint& endpoint);
  Endpoint& within_model_budget(const std::string& name, Endpoint& endpoint) { return within(name, name, endpoint); }
  Endpoint& measured(const std::string& name, Endpoint& endpoint);
  void add(const std::string& name, Part made, std::shared_ptr<const Model> model);
  void check_budgets() const;
  void check_tenants() const;
  void open_log();
  ServerOptions server_options();
  ServerGauges gauges() const;

  ServeConfig config_;
  BackendChoice backend_;
  bool quiet_;
  PriceBook prices_;
  Meter meter_;
  std::map<std::string, std::unique_ptr<Budget>> budgets_{};  // by model; "" = all together
  std::unique_ptr<Engine> engine_{};
  std::map<std::string, std::shared_ptr<const Model>> models_{};
  Chain chain_{};
  std::vector<const HttpEndpoint*> remotes_{};
  std::map<std::string, Part> parts_{};
  std::vector<ServedModel> served_{};
  std::ofstream log_file_{};
  std::unique_ptr<Server> server_{};
};

}  // namespace frugal::tools

// What `frugal serve` serves, as a JSON file says it.
#pragma once

#include <frugal/head/head.hpp>
#include <frugal/http/http_endpoint.hpp>
#include <frugal/meter/budget.hpp>
#include <frugal/meter/price_book.hpp>
#include <frugal/server/server.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace frugal::tools {

struct ServeModel {
  std::string name{}, path{};
  std::optional<Pool> embeddings{};  ///< none = it offers no embeddings
  std::uint32_t embedding_tokens = 512;
};

struct ServeRemote {
  std::string name{}, key_file{};
  HttpOptions options{};
};

struct ServeCascade {
  std::string name{};
  std::vector<std::string> tiers{};  ///< names of models and remotes, cheapest first
  std::optional<double> margin{};    ///< escalate below it; or
  std::string policy{};              ///< a file that `frugal cascade fit` has written
};

struct ServeKey {
  std::string file{};
  std::string tenant{};
  std::int32_t most_priority = 0;
};

struct ServeBudget {
  std::string place{};  ///< in the file, for errors
  std::string model{};  ///< as it is served; empty = all of them together
  Limit limit{};
};

struct ServeConfig {
  std::string address = "127.0.0.1";
  std::uint16_t port = 8080;
  std::vector<ServeModel> models{};
  std::vector<ServeRemote> remotes{};
  std::vector<ServeCascade> cascades{};
  std::vector<ServeKey> keys{};
  std::vector<ServeBudget> budgets{};
  std::string price_file{};                             ///< over the built-in prices, as docs/prices.md has it
  std::vector<std::pair<std::string, Rates>> prices{};  ///< over both
  UnknownPrice unknown_price = UnknownPrice::fail;
  std::uint32_t most_output = 4096;  ///< tokens that a request without a limit may cost
  std::uint64_t kv_mib = 0;          ///< 0 = chosen by the models
  std::uint32_t max_running = 32, max_waiting = 1024;
  std::vector<std::string> speculate{};
  double drain_seconds = 30;
  std::uint64_t body_mib = 8;
  std::uint32_t connections = 4096;
  std::string access_log{};  ///< a file, "-" for standard error, or empty
};

/// Throws Error(invalid_argument) that names line and key and what it must be, Error(bad_file) for malformed JSON.
ServeConfig parse_serve_config(std::string_view json, const std::string& origin);

/// "host:port"; throws Error(invalid_argument).
void set_listen(ServeConfig& config, const std::string& text, const std::string& origin);

}  // namespace frugal::tools

// What `frugal serve` serves, as a file of settings says it. A `place` is where in the file, for errors: "FILE:LINE: models[0]".
#pragma once

#include <frugal/endpoint/cascade.hpp>
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
  std::string place{}, name{}, path{};
  std::optional<Pool> embeddings{};  ///< none = it offers no embeddings
  std::uint32_t embedding_tokens = 512;
};

struct ServeHead {
  std::string place{}, name{};
  std::string head{};   ///< a file that `frugal train head` has written
  std::string model{};  ///< the name of one of the models, or a path
};

struct ServeRemote {
  std::string place{}, name{}, key_file{};
  HttpOptions options{};
};

struct ServeCascade {
  std::string place{}, name{};
  std::vector<std::string> tiers{};  ///< names of what stands before it, cheapest first
  std::optional<double> margin{};    ///< escalate below it; or
  std::string policy{};              ///< a file that `frugal cascade fit` has written
  CascadeStreaming streaming = CascadeStreaming::buffer;
};

struct ServeSplit {
  std::string place{}, name{}, experiment{};
  std::vector<std::pair<std::string, double>> arms{};  ///< names and shares
};

/// Most tokens of an answer.
struct ServeCap {
  std::string type{};  ///< of request; empty = all that have no cap of their own
  std::uint32_t tokens = 0;
};

struct ServeKey {
  std::string place{}, file{};
  std::string tenant{};
  std::int32_t most_priority = 0;
};

struct ServeBudget {
  std::string place{};
  std::string model{};  ///< as it is served; empty = all of them together
  Limit limit{};
};

/// What computes, where the command line does not say.
struct ServeBackend {
  std::string name{}, device{};
  unsigned threads = 0;
};

/// Where these stand in the file ("FILE:LINE: price_file"), or the option that gave them; empty where nothing did.
struct ServePlaces {
  std::string price_file{}, access_log{}, tenant_weights{}, kv_mib{};
  std::string backend{}, device{};  ///< "FILE:LINE: " only
};

struct ServeConfig {
  std::string address = "127.0.0.1";
  std::uint16_t port = 8080;
  std::vector<std::string> hosts{};  ///< ServerOptions::hosts
  std::vector<ServeModel> models{};
  std::vector<ServeHead> heads{};
  std::vector<ServeRemote> remotes{};
  std::vector<ServeCascade> cascades{};
  std::vector<ServeSplit> splits{};
  std::vector<ServeCap> caps{};
  std::vector<ServeKey> keys{};
  std::vector<ServeBudget> budgets{};
  std::string price_file{};                             ///< over the built-in prices, as docs/prices.md has it
  std::vector<std::pair<std::string, Rates>> prices{};  ///< over both
  UnknownPrice unknown_price = UnknownPrice::fail;
  std::uint32_t most_output = 4096;  ///< tokens that a request without a limit may cost
  std::uint64_t kv_mib = 0;          ///< 0 = chosen by the models
  std::uint32_t max_running = 32, max_waiting = 1024;
  std::optional<double> stall_ms{};                              ///< EngineOptions::stall_budget
  std::vector<std::pair<std::string, double>> tenant_weights{};  ///< shares of the machine; others have 1
  bool repeat_guard = false;
  std::vector<std::string> speculate{};  ///< see is_drafter
  ServeBackend backend{};
  ServePlaces places{};
  double drain_seconds = 30, idle_seconds = 75, write_seconds = 30, heartbeat_seconds = 15;
  std::uint64_t body_mib = 8;
  std::uint32_t connections = 4096;
  std::string access_log{};  ///< a file, "-" for standard error, or empty
};

/// JSON, or YAML where `origin` ends in .yaml or .yml; both mean the same. Throws Error(invalid_argument) that names line
/// and key and what it must be; Error(bad_file) that names the line for malformed text and keys that occur twice, and for
/// more than 1 MiB.
ServeConfig parse_serve_config(std::string_view text, const std::string& origin);

/// "suffix" or "prompt_lookup".
bool is_drafter(const std::string& name);

/// "host:port"; throws Error(invalid_argument).
void set_listen(ServeConfig& config, const std::string& text, const std::string& origin);

}  // namespace frugal::tools

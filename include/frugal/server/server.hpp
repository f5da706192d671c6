// Server: endpoints behind the APIs that clients already speak: OpenAI's chat completions, completions and embeddings,
// Anthropic's messages. An engine, a cascade, a budgeted, metered or remote endpoint is served alike.
//
//   POST /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/messages, /v1/messages/count_tokens
//   GET  /v1/models, /v1/models/{name}, /health, /ready, /metrics
//
// Threads: the server owns one thread that moves bytes, `intake_threads` that read and tokenise requests, and one for
// each endpoint that drives it. An idle stream costs a socket and a few kilobytes, no thread. All members are safe from
// any thread. A client that disconnects cancels its request within one step of the endpoint.
//
// Safety: every size and every wait has a limit. Keys are compared in constant time; neither keys nor text of prompts or
// answers appear in logs. There are no CORS headers, a POST must say application/json, and a server of the machine's own
// address without keys takes no foreign name in the Host header, so that a page in a browser cannot reach it. TLS is left to a proxy in front. docs/serving.md has the details.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/error.hpp>
#include <frugal/meter/budget.hpp>
#include <frugal/meter/meter.hpp>
#include <frugal/meter/metrics.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

class Endpoint;
class Model;

struct ServedModel {
  std::string name;              ///< what clients call it
  Endpoint* endpoint = nullptr;  ///< lent; outlives the server. May serve several names
  std::string asks_for{};        ///< Request::model as the endpoint knows it; empty = its default
  /// The local model that answers. Log-probabilities, count_tokens and raw completions need it, and calls of tools are
  /// read out of its text. Null for remote and composed endpoints.
  std::shared_ptr<const Model> model{};
  /// Of a composed endpoint: the local models that may answer. Calls of tools are then read out of their texts, where all
  /// of them write calls alike; where not, tools are refused.
  std::vector<std::shared_ptr<const Model>> tiers{};
  /// Lent like `endpoint`; answers /v1/embeddings as an EmbeddingEndpoint does. Null = this model offers none.
  Endpoint* embeddings = nullptr;
};

/// Who may ask. Without any key in ServerOptions everybody may.
struct ApiKey {
  std::string key;                 ///< as Authorization: Bearer, or x-api-key
  std::string tenant{};            ///< becomes Request::tenant
  std::int32_t most_priority = 0;  ///< x-frugal-priority may ask for this or less
  static constexpr std::size_t least_length = 8;
};

/// Bounds on what one client may take. A zero is refused at set-up.
struct ServerLimits {
  std::size_t header_bytes = std::size_t{32} << 10;
  std::size_t body_bytes = std::size_t{8} << 20;
  std::size_t connections = 4096;                   ///< further ones wait in the system's queue
  Duration idle = std::chrono::seconds(75);         ///< a connection between two requests
  Duration header_time = std::chrono::seconds(10);  ///< for a whole header
  Duration body_time = std::chrono::seconds(60);    ///< for a whole body
  Duration write_time = std::chrono::seconds(30);   ///< a client that takes nothing for so long is cut off
  std::uint32_t unread_deltas = 256;                ///< beyond these the request pauses until the client reads
};

/// What only the host can read: e.g. Engine::stats() and HttpEndpoint::cache_report().
struct ServerGauges {
  std::vector<LoadGauges> loads{};  ///< beside those of the served endpoints; under names of their own
  std::vector<ProviderCacheCounts> provider_caches{};
};

struct ServerOptions {
  std::string address = "127.0.0.1";  ///< a numeric address of this machine; "0.0.0.0" or "::" = all of them
  std::uint16_t port = 8080;          ///< 0 = any free one, see Server::port()
  std::vector<ServedModel> models;    ///< the first one answers requests that name none
  std::vector<ApiKey> keys{};
  /// Names that the Host header may have, beside addresses and localhost. Empty: any name; where there are no keys and the
  /// address is this machine's own (127.0.0.1, ::1), none, or any page in a browser could ask by making its own name
  /// stand for that address.
  std::vector<std::string> hosts{};
  ServerLimits limits{};
  std::uint32_t intake_threads = 2;
  /// How long drain() lets requests run before it cancels them.
  Duration drain_time = std::chrono::seconds(30);
  /// While nothing is to be sent on a stream, so often a comment or a ping is, to keep proxies from closing it.
  Duration heartbeat = std::chrono::seconds(15);
  bool drive = true;                       ///< false: the host's own threads drive the endpoints
  const Meter* meter = nullptr;            ///< for /metrics; without one it has the load of the endpoints only
  std::vector<BudgetGauges> budgets{};     ///< lent; their limits in /metrics as well
  std::function<ServerGauges()> gauges{};  ///< asked at each scrape, on an intake thread
  /// One JSON object for each request that ended, without a line end: when, what was asked for, status, tokens, times.
  /// Called on the server's thread; must not block.
  std::function<void(std::string_view line)> access_log{};
  LogSink log{};
};

struct ServerStats {
  std::uint64_t connections = 0, requests = 0;  ///< since the start
  std::uint64_t refused = 0;                    ///< answered with a status of 400 and above
  std::uint64_t abandoned = 0;                  ///< the client left before the end
  std::uint32_t open = 0;                       ///< connections now
  std::uint32_t running = 0;                    ///< requests that are being answered now
};

class FRUGAL_API Server {
 public:
  /// Listens, and serves from then on. Throws Error(invalid_argument) that names the option, Error(unavailable) where
  /// the address cannot be had.
  explicit Server(ServerOptions options);
  /// Cancels what still runs, and waits until it has ended.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t port() const noexcept;
  /// Requests that run go on for drain_time, then they are cancelled; every stream gets its end. Until then connections
  /// are still taken: /health says 200, /ready and new requests of models get 503 with retry-after. Returns at once.
  /// Idempotent.
  void drain();
  /// Returns when a drain has come to its end.
  void wait();
  /// The same for at most so long; true = it has come to its end.
  bool wait_for(Duration most);
  /// Cancels what still runs, as at the end of drain_time.
  void cancel();
  ServerStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal

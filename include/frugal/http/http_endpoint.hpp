// HttpEndpoint: a model behind somebody's API as one more Endpoint: OpenAI-compatible chat and plain completions (OpenAI,
// vLLM, llama.cpp, and most others), OpenAI's responses, Anthropic's messages. So a cascade, a budget and a meter work on a provider's bill as
// they do on local models.
//
// Threads: the endpoint owns one thread that moves the bytes of all its requests; it sleeps while nothing arrives. Sinks
// are called there, so they must not block. start, cancel, load and stats are safe from any thread. Destroying the
// endpoint ends every live request with FinishReason::cancelled.
//
// Safety: TLS certificates are verified. Keys come from a callback, are sent in a header, and appear in no log and no
// error. Proxies are used only where `proxy` names one. Redirects are not followed.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/http/prompt_caching.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace frugal {

enum class HttpApi : std::uint8_t {
  openai_chat,         ///< POST <url>/chat/completions; url is e.g. https://api.openai.com/v1
  anthropic_messages,  ///< POST <url>/messages; url is e.g. https://api.anthropic.com/v1
  openai_responses,    ///< POST <url>/responses; nothing is stored there
  openai_completions,  ///< POST <url>/completions: a RawPrompt instead of a Chat
};

/// How long to wait before a request is given up. Zero = for ever. Request::deadline holds beside these.
struct HttpTimeouts {
  Duration connect = std::chrono::seconds(10);
  Duration first_byte = std::chrono::seconds(120);  ///< of the answer, after the request was sent
  Duration gap = std::chrono::seconds(60);          ///< between two pieces of an answer
  Duration total{};
};

/// What is sent again, and when. Only before the first byte of an answer, and only after failures that a second try can
/// mend: no connection, 408, 409, 429 and 5xx. Waits are drawn evenly from [0, base * 2^try), at most `longest`; a
/// Retry-After header is obeyed where it is not longer than that.
struct HttpRetries {
  std::uint32_t most = 2;  ///< further tries for one request
  Duration base = std::chrono::milliseconds(500);
  Duration longest = std::chrono::seconds(20);
  double budget = 0.1;  ///< tries that are retries, as a share of all requests so far (ten are always allowed)
};

/// A second try beside one that is slow to answer; the first of the two to send a byte is kept, the other is cancelled.
/// Costs the prompt twice where it happens: the ledger has an attempt for it that was not accepted, whose input is that
/// of the answer and whose output is not known. Off unless `budget` is set.
struct HttpHedging {
  double budget = 0;          ///< second tries as a share of all requests, e.g. 0.01
  double quantile = 0.99;     ///< of the times to the first byte of the last 512 answers: beyond it a try is slow
  std::uint32_t learn = 100;  ///< answers before the first second try
  Duration least = std::chrono::milliseconds(10);  ///< no try is slow before that
};

struct HttpOptions {
  std::string name;  ///< of the endpoint, for ledgers and cascades
  HttpApi api = HttpApi::openai_chat;
  std::string url;                                             ///< up to and without the last part of the path
  std::string model;                                           ///< as the API knows it
  std::function<std::string()> key{};                          ///< asked for each try; null or empty = no key is sent
  std::vector<std::pair<std::string, std::string>> headers{};  ///< sent in addition
  std::uint32_t default_max_tokens = 4096;  ///< for an API that wants a limit, where the request has none
  /// The server takes top_k, min_p, repetition_penalty and chat_template_kwargs beside OpenAI's own fields (vLLM,
  /// llama.cpp). Without it a request that uses them is refused: an API would ignore them silently.
  bool extended_sampling = false;
  bool completion_tokens_field = false;  ///< the limit is called max_completion_tokens (OpenAI's own models want it)
  /// Anthropic's API: the model takes temperature, top_p and top_k. None = by its name: up to Opus and Sonnet 4.6 and
  /// Haiku 4.5, and models of other makers. Where it does not, a temperature of 0 or 1 is not sent and others are refused.
  std::optional<bool> takes_sampling{};
  /// How much the model may think, in the API's own words ("low", "high"): a cap on what is billed as reasoning. Empty =
  /// the API's default. Sent as reasoning_effort, reasoning.effort or output_config.effort; plain completions refuse it.
  std::string effort{};
  /// How many tokens the model may think at most: Anthropic's thinking budget, at least 1024 and below the request's
  /// max_tokens, which it is a part of (a request with fewer is refused). Thinking is on only where this is set; a
  /// temperature of 0 or 1 is then not sent, others and top_k are refused. The other APIs have no such field, and have
  /// `effort`.
  std::optional<std::uint32_t> thinking_tokens{};
  HttpTimeouts timeouts{};
  HttpRetries retries{};
  HttpHedging hedging{};
  HttpCaching caching{};
  /// New tries wait where the provider's headers say that it would refuse them (x-ratelimit-*, anthropic-ratelimit-*).
  bool obey_rate_limits = true;
  std::uint32_t max_running = 256;   ///< requests on the wire at once; more wait
  std::uint32_t max_waiting = 4096;  ///< beyond that, start() refuses with Errc::busy
  std::string ca_file{};             ///< a bundle of certificates to trust instead of the system's
  std::string proxy{};
  LogSink log{};
  std::uint64_t seed = 0;  ///< of the jitter of retries
  /// For deadlines, timeouts and retries; null = the process's steady clock. After another one has jumped, call wake().
  const Clock* clock = nullptr;
};

struct HttpStats {
  std::uint64_t requests = 0, tries = 0, retries = 0, bytes_in = 0;
  std::uint64_t hedges = 0;  ///< second tries beside a slow one
};

class FRUGAL_API HttpEndpoint final : public Endpoint {
 public:
  /// Starts the thread; connects nowhere yet. Throws Error(invalid_argument) that names the option.
  explicit HttpEndpoint(HttpOptions options);
  ~HttpEndpoint() override;

  std::string_view name() const override;
  /// Refused at once, never sent: a prompt of tokens, raw text where the API wants a chat and the other way round, and
  /// what the API has no field for. A constraint that is a JsonSchemaSource goes to the API, which enforces it or refuses.
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  Progress step() override;
  void wake() override;
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;
  HttpStats stats() const;
  /// What the provider's prompt cache was expected to give, and what it billed, by request type. Where the bill stays
  /// behind, or a beginning is just too short, the log says so once a type.
  std::vector<HttpCacheReport> cache_report() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal

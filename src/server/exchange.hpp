// Exchange: one request and its answer, between the endpoint that makes the answer and the connection that sends it. What
// the endpoint gives waits here until the connection has sent what came before; a client that reads slowly so pauses its
// own request and nobody else's.
#pragma once

#include <frugal/endpoint/endpoint.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/dialect.hpp"

namespace frugal::server {

class Exchange final : public Sink, public std::enable_shared_from_this<Exchange> {
 public:
  /// What an exchange needs of its surroundings. Called on any thread.
  struct Hooks {
    std::function<void()> ready{};                   ///< take() has something
    std::function<void(const Endpoint&)> started{};  ///< the endpoint has the request
    std::function<void(const Endpoint*)> ended{};    ///< nothing more will come; null = it never got to an endpoint
  };

  Exchange(Incoming incoming, const Dialect& dialect, const Catalogue& catalogue, std::uint32_t most_unread,
           Hooks hooks);

  /// Reads the request and gives it to its endpoint. Takes as long as tokenising does; once.
  void start();
  /// Ends the request at its endpoint; its end is still to be sent. Any thread, idempotent.
  void cancel();

  /// What is to be sent next. For the connection's thread alone.
  struct Output {
    std::optional<Outgoing> whole{};  ///< an answer in one piece
    std::string events{};             ///< a part of a stream
    bool ended = false;               ///< nothing comes after this
  };
  Output take();
  /// An event that says nothing, for a stream; empty where the answer goes out whole.
  std::string heartbeat();

  /// For the access log; whole once the exchange has ended.
  struct Account {
    std::string model{};
    bool stream = false;
    std::optional<Finish> finish{};
    std::optional<Errc> error{};
    std::string field{};  ///< at fault, as the client's body has it
  };
  Account account() const;
  /// Calls `then` once the endpoint has ended the request, at once where it has; on the ending thread. One at most; before
  /// Hooks::ended, and it must not throw.
  void when_ended(std::function<void(Account)> then);

  void on_prompt(std::span<const Token> prompt) override;
  void on_delta(Delta delta) override;
  void on_finish(Finish finish) override;
  bool full() const override;

 private:
  void begin();
  void read(Job& job);
  void fail(ApiError error);
  Account account_now() const;
  void tell();
  void write(std::vector<Delta> deltas, const std::optional<Finish>& finish, Output& out);
  Output give_up(const ApiError& error, Output out);

  Incoming incoming_;
  const Dialect& dialect_;
  const Catalogue& catalogue_;
  std::uint32_t most_unread_;
  Hooks hooks_;
  std::optional<EndpointRef> endpoint_{};
  const Endpoint* target_ = nullptr;

  mutable std::mutex mutex_{};  // guards what follows, up to the blank line
  std::vector<Delta> deltas_{};
  std::optional<Finish> finish_{};
  std::optional<ApiError> failure_{};
  std::optional<std::uint64_t> prompt_tokens_{};
  Call call_{};
  std::unique_ptr<Writer> writer_{};  // set before anything can be taken, then the connection's alone
  bool told_ = false, cancelled_ = false, stream_ = false, started_ = false, over_ = false;
  Account account_{};
  std::function<void(Account)> then_{};

  bool begun_ = false;  // a part of the stream was taken
};

}  // namespace frugal::server

// Hub: what the server's connections share: the thread that moves their bytes, the threads beside it, the counters, and
// the way from serving to drained.
#pragma once

#include <utility>  // before Asio, which forgets it (Boost 1.74)

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <frugal/server/server.hpp>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "server/drivers.hpp"
#include "server/router.hpp"

namespace frugal::server {

namespace asio = boost::asio;

class Connection;
struct AccessLine;

class Hub : public std::enable_shared_from_this<Hub> {
 public:
  /// Listens; throws Error.
  explicit Hub(ServerOptions options);
  ~Hub();
  void begin();  ///< starts the threads; once, when a shared_ptr holds this
  /// Cancels everything, waits for its ends, joins the threads. After it no connection is left.
  void stop();

  std::uint16_t port() const noexcept { return port_; }
  void drain(Duration grace);
  void wait();
  bool wait_for(Duration most);
  ServerStats stats() const;

  // For connections.
  const ServerOptions& options() const noexcept { return options_; }
  const Catalogue& catalogue() const noexcept { return catalogue_; }
  const Router& router() const noexcept { return router_; }
  Drivers& drivers() noexcept { return *drivers_; }
  asio::io_context& io() noexcept { return io_; }
  asio::thread_pool& intake() noexcept { return *intake_; }
  bool draining() const noexcept { return draining_.load(); }
  void entered(const std::shared_ptr<Connection>& connection);  ///< on the server's thread
  void left(const std::shared_ptr<Connection>& connection);     ///< likewise
  void exchange_began();                                        ///< any thread
  void exchange_ended();                                        ///< likewise
  void log_access(const AccessLine& line);                      ///< on the server's thread
  void count_answer(int status, bool abandoned, std::optional<Errc> error);

 private:
  void listen();
  void accept();
  void accept_later();
  void close_door();
  void close_door_when_done();
  void finish_up_all();
  void cancel_all(bool at_once);
  bool over() const { return door_closed_ && open_ == 0 && running_ == 0; }

  ServerOptions options_;
  Catalogue catalogue_{};
  ErrorCounter errors_{};
  Router router_;
  asio::io_context io_{1};
  asio::ip::tcp::acceptor acceptor_{io_};
  asio::steady_timer later_{io_}, grace_{io_};
  std::optional<asio::thread_pool> intake_{};
  std::unique_ptr<Drivers> drivers_{};
  std::thread thread_{};
  std::uint16_t port_ = 0;

  std::set<std::shared_ptr<Connection>> connections_{};  // the server's thread only
  bool accepting_ = false;                               // likewise: an accept is under way

  std::atomic<bool> draining_{false};
  std::atomic<std::uint64_t> requests_{0}, refused_{0}, abandoned_{0}, accepted_{0};
  mutable std::mutex mutex_{};  // guards the three below
  std::condition_variable changed_{};
  std::uint32_t open_ = 0, running_ = 0;
  bool door_closed_ = false;
};

}  // namespace frugal::server

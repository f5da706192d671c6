// Connection: one client. Reads a request, has it answered, sends the answer, reads the next. Everything here runs on the
// server's thread. While an answer is being made the socket is listened to as well, so that a client that leaves is
// noticed at once.
#pragma once

#include <utility>  // before Asio, which forgets it (Boost 1.74)

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/exchange.hpp"
#include "server/hub.hpp"

namespace frugal::server {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(asio::ip::tcp::socket socket, std::shared_ptr<Hub> hub);
  /// Tells the hub of itself, and begins.
  void enter();
  /// The server drains: closes when it is between two requests, else after this answer.
  void finish_up();
  /// Ends the running request at its endpoint; its answer still goes out.
  void cancel();
  void close();

 private:
  using Code = boost::system::error_code;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  enum class Doing : std::uint8_t { resting, reading, answering, leaving };

  void rest();
  void listen();
  void heard(Code code, std::size_t bytes);
  void read_header();
  void read_body();
  void take_head();
  void cannot_read(Code code);
  void dispatch();
  void begin_exchange(const Dialect& dialect);
  void begin_work(const std::function<Outgoing(const Incoming&)>& work);
  void pump();
  void send_whole(Outgoing out);
  void send_events(Exchange::Output out);
  void send(std::string bytes);
  void sent(Code code);
  void answered();
  void account(int status, bool abandoned);
  void leave();
  void beat();
  void arm(asio::steady_timer& timer, Duration wait, void (Connection::*then)());
  void too_slow();
  std::string head(int status, const std::string& type, const Headers& more, std::optional<std::size_t> length) const;

  asio::ip::tcp::socket socket_;
  std::shared_ptr<Hub> hub_;
  asio::steady_timer read_timer_, write_timer_, beat_timer_;
  boost::beast::flat_buffer buffer_{};
  std::optional<Parser> parser_{};
  Doing doing_ = Doing::resting;
  bool listening_ = false, parse_next_ = false;  // a read is under way; it is to end because a request is at hand
  bool sending_ = false, closed_ = false;

  // of the request at hand
  Incoming incoming_{};
  std::string path_{};  // as it may be logged
  std::shared_ptr<Exchange> exchange_{};
  bool keep_ = false, chunked_ = false, stream_begun_ = false, last_sent_ = false, quiet_ = false;
  int status_ = 0;
  std::optional<Errc> error_{};
  std::string field_{};  // at fault
  std::uint64_t bytes_out_ = 0;
  TimePoint began_{};
  std::optional<TimePoint> first_byte_{};
};

}  // namespace frugal::server

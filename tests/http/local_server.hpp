// A server on 127.0.0.1 for one test: every connection is handed to a function that may answer well or badly. One thread
// a connection; all are joined when the server goes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace frugal::testing {

class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Reads one request with its body; false where the other side is gone.
  bool read_request();
  const std::string& head() const { return head_; }
  const std::string& body() const { return body_; }
  /// False where the other side is gone.
  bool send(std::string_view bytes);
  /// 200 and the head of an event stream that ends when the connection does.
  bool begin_events();
  bool event(std::string_view data) { return send("data: " + std::string(data) + "\n\n"); }
  bool answer(int status, std::string_view body, std::string_view headers = "");
  /// Waits until the other side closes, or the time is over; true = it closed.
  bool closed_within(int milliseconds);

 private:
  int fd_;
  std::string held_{}, head_{}, body_{};
};

class LocalServer {
 public:
  using Handler = std::function<void(Connection&)>;
  explicit LocalServer(Handler handler);
  ~LocalServer();
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }
  int connections() const { return connections_.load(); }

 private:
  void accept_all();
  Handler handler_;
  int fd_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> connections_{0};
  std::mutex mutex_{};
  std::vector<std::thread> threads_{};
  std::thread acceptor_{};
};

}  // namespace frugal::testing

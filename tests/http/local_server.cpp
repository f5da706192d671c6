#include "http/local_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace frugal::testing {

Connection::~Connection() { ::close(fd_); }

bool Connection::read_request() {
  char buffer[65536];
  std::size_t end = std::string::npos;
  while ((end = held_.find("\r\n\r\n")) == std::string::npos) {
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    held_.append(buffer, static_cast<std::size_t>(got));
  }
  head_ = held_.substr(0, end);
  held_.erase(0, end + 4);
  const std::size_t length = head_.find("Content-Length: ");
  const std::size_t size = length == std::string::npos ? 0 : std::strtoul(head_.c_str() + length + 16, nullptr, 10);
  while (held_.size() < size) {
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    held_.append(buffer, static_cast<std::size_t>(got));
  }
  body_ = held_.substr(0, size);
  held_.erase(0, size);
  return true;
}

bool Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool Connection::begin_events() {
  return send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n");
}

bool Connection::answer(int status, std::string_view body, std::string_view headers) {
  return send("HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: application/json\r\nConnection: close\r\n" +
              std::string(headers) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
}

bool Connection::closed_within(int milliseconds) {
  pollfd one{fd_, POLLIN | POLLRDHUP, 0};
  if (::poll(&one, 1, milliseconds) <= 0) return false;
  char byte;
  return (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0 || ::recv(fd_, &byte, 1, MSG_PEEK) == 0;
}

LocalServer::LocalServer(Handler handler) : handler_(std::move(handler)) {
  fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd_ < 0 || ::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd_, 1024) != 0 ||
      ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("no local server");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

LocalServer::~LocalServer() {
  stopping_ = true;
  acceptor_.join();
  ::close(fd_);
  for (std::thread& thread : threads_) thread.join();
}

void LocalServer::accept_all() {
  while (!stopping_.load()) {
    pollfd one{fd_, POLLIN, 0};
    if (::poll(&one, 1, 20) <= 0) continue;
    const int fd = ::accept(fd_, nullptr, nullptr);
    if (fd < 0) continue;
    ++connections_;
    threads_.emplace_back([this, fd] {
      Connection connection(fd);
      if (connection.read_request()) handler_(connection);
    });
  }
}

}  // namespace frugal::testing

#include "server/raw_client.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace frugal::testing {

namespace {
constexpr int patience = 20'000;
}

RawClient::RawClient(std::uint16_t port, int receive_buffer) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
  if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&place), sizeof place) != 0)
    throw std::runtime_error("the server does not listen");
}

RawClient::~RawClient() { close(); }

void RawClient::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool RawClient::more(int milliseconds) {
  pollfd wanted{fd_, POLLIN, 0};
  if (::poll(&wanted, 1, milliseconds) <= 0) return false;
  std::array<char, 65536> buffer{};
  const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (n <= 0) return false;
  held_.append(buffer.data(), static_cast<std::size_t>(n));
  return true;
}

std::string RawClient::until(std::string_view text) {
  std::size_t at = held_.find(text);
  while (at == std::string::npos) {
    if (!more(patience)) return std::exchange(held_, {});
    at = held_.find(text);
  }
  std::string out = held_.substr(0, at + text.size());
  held_.erase(0, out.size());
  return out;
}

RawClient::Answer RawClient::answer() {
  Answer out;
  out.head = until("\r\n\r\n");
  if (out.head.size() > 12) out.status = std::stoi(out.head.substr(9, 3));
  if (const std::size_t at = out.head.find("content-length: "); at != std::string::npos) {
    const std::size_t size = std::stoul(out.head.substr(at + 16));
    while (held_.size() < size && more(patience)) {
    }
    out.body = held_.substr(0, size);
    held_.erase(0, out.body.size());
  } else if (out.head.find("transfer-encoding: chunked") != std::string::npos) {
    for (;;) {
      const std::string line = until("\r\n");
      const std::size_t size = line.empty() ? 0 : std::stoul(line, nullptr, 16);
      while (held_.size() < size + 2 && more(patience)) {
      }
      out.body += held_.substr(0, size);
      held_.erase(0, size + 2);
      if (size == 0) break;
    }
  } else {
    out.body = rest();
  }
  return out;
}

std::string RawClient::rest() {
  while (more(patience)) {
  }
  return std::exchange(held_, {});
}

bool RawClient::closed_within(int milliseconds) {
  pollfd wanted{fd_, POLLIN, 0};
  std::array<char, 65536> buffer{};
  for (;;) {
    if (::poll(&wanted, 1, milliseconds) <= 0) return false;
    if (::recv(fd_, buffer.data(), buffer.size(), 0) <= 0) return true;
  }
}

std::string post(std::string_view path, std::string_view body, std::string_view headers) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n" + std::string(headers) + "\r\n" + std::string(body);
}

std::string get(std::string_view path, std::string_view headers) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) + "\r\n";
}

}  // namespace frugal::testing

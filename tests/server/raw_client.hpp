// RawClient: a connection whose every byte the test decides. Waits are bounded by 20 seconds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace frugal::testing {

class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer = 0);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  /// False where the other side is gone.
  bool send(std::string_view bytes);
  /// Reads until the text has come, and returns everything up to its end; what comes after stays for the next call. At
  /// the end of the stream, or when the time is over: what there is.
  std::string until(std::string_view text);
  /// One whole answer with its Content-Length or chunks; head and body.
  struct Answer {
    int status = 0;
    std::string head{}, body{};
  };
  Answer answer();
  /// Everything until the other side closes.
  std::string rest();
  bool closed_within(int milliseconds);
  void close();

 private:
  bool more(int milliseconds);
  int fd_;
  std::string held_{};
};

/// A POST with a JSON body.
std::string post(std::string_view path, std::string_view body, std::string_view headers = "");
std::string get(std::string_view path, std::string_view headers = "");

}  // namespace frugal::testing

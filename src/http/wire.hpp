// Wire: many of libcurl's transfers moved by one thread, which sleeps until one of them has something. On Linux its work
// grows with the transfers that have bytes, not with those that are open: an epoll set, and curl_multi_socket_action for
// the sockets that are ready. Elsewhere curl_multi_poll looks at all of them.
//
// Threads: wake() is for any thread, everything else for one.
#pragma once

#include <curl/curl.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>

#ifdef __linux__
#include <sys/epoll.h>
#endif

namespace frugal::http {

class Wire {
 public:
  /// Throws Error(out_of_memory or unavailable).
  Wire();
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  CURLMcode add(CURL* easy) noexcept { return curl_multi_add_handle(multi_.get(), easy); }
  void remove(CURL* easy) noexcept { curl_multi_remove_handle(multi_.get(), easy); }
  /// Ends the sleep that is going on, or the next one.
  void wake() noexcept;
  /// Sleeps until something has happened to a transfer, somebody woke it, or the time is over.
  void sleep(std::chrono::milliseconds most) noexcept;
  /// Moves what sleep() found, 64 sockets at most, so that its caller can look at other things in between.
  void move() noexcept;
  /// The next transfer that has ended, or null. Valid until the next call of this object.
  const CURLMsg* next_done() noexcept;

 private:
  struct MultiDeleter {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
  };
  std::unique_ptr<CURLM, MultiDeleter> multi_{};

#ifdef __linux__
  static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void* known) noexcept;
  static int on_timer(CURLM* multi, long wait_ms, void* self) noexcept;
  void watch(curl_socket_t socket, int what, bool known) noexcept;
  void silence() noexcept;

  class File {
   public:
    explicit File(int number = -1) : number_(number) {}
    ~File();
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    int number() const noexcept { return number_; }

   private:
    int number_;
  };
  File set_, bell_;
  std::array<epoll_event, 64> ready_{};
  std::size_t ready_count_ = 0;
  std::optional<std::chrono::steady_clock::time_point> timer_{};  ///< when curl wants to be called anyway
#endif
};

}  // namespace frugal::http

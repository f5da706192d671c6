// Transfer: one request on its way: what is sent, what has come, and when to give up. Owned by the endpoint's thread; only
// `cancelled` is touched by others.
#pragma once

#include <curl/curl.h>

#include <frugal/core/clock.hpp>
#include <frugal/core/request.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "endpoint/guarded_sink.hpp"
#include "http/api.hpp"
#include "http/sse.hpp"

namespace frugal::http {

struct CurlDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

class Transfer {
 public:
  Transfer(const HttpOptions& options, Request request, std::shared_ptr<Sink> sink, RequestId id, Post post);

  /// Sets up a fresh try. Throws Error(out_of_memory or invalid_argument).
  void begin_try(TimePoint now);
  /// Takes the try's handle away; the connection is closed unless the answer was read to its end.
  void end_try();
  CURL* handle() const noexcept { return easy_.get(); }

  /// True where a reader that was behind has room again; the transfer then goes on.
  bool resume();
  bool paused() const noexcept { return paused_; }

  /// Why the request has to end now, or none.
  struct Overdue {
    FinishReason reason;
    std::optional<Error> error;
  };
  std::optional<Overdue> overdue(TimePoint now) const;
  /// The next time at which overdue() may say something else; none = never.
  std::optional<TimePoint> next_check() const;

  /// True where another try is allowed by what has happened; sets when.
  bool plan_retry(CURLcode result, TimePoint now, double jitter);
  TimePoint not_before() const noexcept { return not_before_; }

  /// How the try ended.
  Finish outcome(CURLcode result, TimePoint now);
  Finish finished(FinishReason reason, std::optional<Error> error, TimePoint now);
  Finish refused(Error error) { return finished(FinishReason::refused, std::move(error), clock_.now()); }
  void deliver(Finish finish) noexcept;
  /// The Finish has not been given yet.
  bool live() const noexcept { return live_; }

  RequestId id() const noexcept { return id_; }
  std::uint64_t bytes_in() const noexcept { return bytes_in_; }

  std::atomic<bool> cancelled{false};
  /// Called in curl's callback when the first byte of an answer has come: next_check() has changed.
  std::function<void()> on_first_byte{};

 private:
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  std::size_t body(std::string_view bytes);
  void header(std::string_view line);
  void read(std::string_view bytes);
  void take(const SseEvent& event);
  Error failure(CURLcode result) const;
  void set_headers();
  bool fresh() const noexcept { return !got_bytes_; }

  const HttpOptions& options_;
  const Clock& clock_;
  const Api& api_;
  Request request_;
  GuardedSink sink_;
  RequestId id_;
  Post post_;
  std::unique_ptr<CURL, CurlDeleter> easy_{};
  std::unique_ptr<curl_slist, CurlDeleter> headers_{};
  std::unique_ptr<Reader> reader_{};
  SseParser events_{};

  std::array<char, CURL_ERROR_SIZE> said_{};  ///< curl's own words for a failure
  long status_ = 0;
  bool is_event_stream_ = false, got_bytes_ = false, paused_ = false, sink_threw_ = false, too_large_ = false;
  bool live_ = true;
  std::optional<Error> broken_{};  ///< memory did not suffice for what came
  std::string error_body_{};
  std::optional<Duration> retry_after_{};
  std::uint32_t tries_ = 0;
  std::uint64_t pieces_ = 0, bytes_in_ = 0;
  TimePoint submitted_, try_began_{}, last_byte_{}, not_before_{};
  std::optional<TimePoint> first_try_{}, first_text_{};
};

}  // namespace frugal::http

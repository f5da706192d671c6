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
#include "http/easy.hpp"
#include "http/rate_limits.hpp"
#include "http/sse.hpp"
#include "http/stop_cutter.hpp"

namespace frugal::http {

class Transfer {
 public:
  Transfer(const HttpOptions& options, Request request, std::shared_ptr<Sink> sink, RequestId id, Post post);
  /// A second try of the same request beside the first; has the same reader and is cancelled with it.
  static std::shared_ptr<Transfer> beside(const Transfer& first);

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
  /// It never will be: its rival gives it.
  void retire() noexcept { live_ = false; }
  /// The pause that the answer asked for together with a 429 or 503.
  std::optional<Duration> pause() const noexcept {
    return status_ == 429 || status_ == 503 ? retry_after_ : std::nullopt;
  }

  RequestId id() const noexcept { return id_; }
  /// Of the last answer; 0 = none came.
  long status() const noexcept { return status_; }
  std::uint64_t bytes_in() const noexcept { return bytes_in_; }

  bool cancelled() const noexcept { return cancelled_->load(); }
  using Flag = std::shared_ptr<std::atomic<bool>>;
  const Flag& cancel_flag() const noexcept { return cancelled_; }

  /// Expected, for admission. Counted from a byte in four, because the tokenizer is not known.
  LimitNeed need() const noexcept;
  bool answered() const noexcept { return got_bytes_; }
  Duration first_byte_wait() const noexcept { return last_byte_ - try_began_; }

  /// A try that runs beside this one; the first byte decides between them. Null where there is none.
  std::weak_ptr<Transfer> rival{};
  bool lost = false;                       ///< the rival was first: whatever comes is dropped
  bool unanswered = false;                 ///< counted by the limits
  std::optional<TimePoint> hedge_after{};  ///< when a second try is worth its price
  std::optional<Attempt> also{};           ///< a second try that was paid for and lost

  /// Called in curl's callback when the first byte of an answer has come: next_check() has changed.
  std::function<void()> on_first_byte{};
  /// Called there with what the headers of an answer say about limits, where they say something.
  std::function<void(const LimitReport&)> on_limits{};

 private:
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  std::size_t body(std::string_view bytes);
  void header(std::string_view line);
  void read(std::string_view bytes);
  void take(const SseEvent& event);
  Error failure(CURLcode result) const;
  void set_headers();
  void add_lost(Finish& finish) const;
  void give(Delta delta);
  bool fresh() const noexcept { return !got_bytes_; }

  const HttpOptions& options_;
  const Clock& clock_;
  const Api& api_;
  Request request_;
  std::shared_ptr<GuardedSink> sink_;
  Flag cancelled_;
  RequestId id_;
  Post post_;
  std::unique_ptr<CURL, CurlDeleter> easy_{};
  HeaderLines headers_;
  std::unique_ptr<Reader> reader_{};
  StopCutter stops_;
  SseParser events_{};

  std::array<char, CURL_ERROR_SIZE> said_{};  ///< curl's own words for a failure
  long status_ = 0;
  bool is_event_stream_ = false, got_bytes_ = false, paused_ = false, sink_threw_ = false, too_large_ = false;
  bool live_ = true;
  std::optional<Error> broken_{};  ///< memory did not suffice for what came
  std::string error_body_{};
  std::optional<Duration> retry_after_{};
  LimitReport limits_{};
  std::uint32_t tries_ = 0;
  std::uint64_t pieces_ = 0, bytes_in_ = 0;
  TimePoint submitted_, try_began_{}, last_byte_{}, not_before_{};
  std::optional<TimePoint> first_try_{}, first_text_{};
};

}  // namespace frugal::http

// What all tries over curl's easy interface have in common, whether one thread waits for the answer (Fetch) or many run at
// once (Transfer): who may be spoken to and how, what is said of ourselves, and when to try again.
#pragma once

#include <curl/curl.h>

#include <frugal/http/http_endpoint.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace frugal::http {

struct CurlDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

/// The header lines of a request. add() throws Error(out_of_memory).
class HeaderLines {
 public:
  explicit HeaderLines(const HttpOptions& options) : options_(&options) {}
  void add(const std::string& line);
  /// The caller's own headers, and the key as the API wants it. Throws Error(invalid_argument) where the key holds a line
  /// end, and what HttpOptions::key throws.
  void add_own();
  curl_slist* get() const noexcept { return lines_.get(); }
  /// The key of the last add_own(), wherever it stands in `text`, becomes "(key)".
  std::string without_key(std::string text) const;
  void clear() noexcept { lines_.reset(); }

 private:
  const HttpOptions* options_;
  std::string key_{};
  std::unique_ptr<curl_slist, CurlDeleter> lines_{};
};

/// Protocols, TLS, proxy, time to connect: nothing of a request.
void set_common(CURL* easy, const HttpOptions& options);

/// How long to wait before retry number `retry`, from 0; `drawn` in [0, 1): by chance, as HttpRetries has it, and at
/// least as long as the server asked for. None = it wants more patience than there is.
std::optional<Duration> retry_wait(const HttpRetries& retries, std::uint32_t retry, double drawn,
                                   std::optional<Duration> asked);

/// The pause that a header line asks for, as seconds or as a date; none where it is another line or makes no sense.
std::optional<Duration> retry_after_in(std::string_view line);

/// The next number in [0, 1).
double uniform(std::uint64_t& state);

}  // namespace frugal::http

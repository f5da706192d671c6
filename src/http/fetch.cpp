#include "http/fetch.hpp"

#include <curl/curl.h>

#include <frugal/core/error.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "core/caught.hpp"
#include "core/splitmix.hpp"
#include "http/easy.hpp"

namespace frugal::http {

namespace {

constexpr std::size_t most_body = std::size_t{64} << 20U;  // of an answer that is not read by lines, and of one line

struct MimeDeleter {
  void operator()(curl_mime* mime) const { curl_mime_free(mime); }
};

/// One try.
class Try {
 public:
  Try(const HttpOptions& options, const Ask& ask, const Stop& stop,
      const std::function<void(std::string_view)>& on_line)
      : options_(options), ask_(ask), stop_(stop), on_line_(on_line), easy_(curl_easy_init()), headers_(options) {
    if (!easy_) throw Error(Errc::out_of_memory, "endpoint " + options.name + ": out of memory");
    set_headers();
    set_body();
    set_rest();
  }

  CURLcode run() {
    const CURLcode result = curl_easy_perform(easy_.get());
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &got_.status);
    if (result == CURLE_OK && !line_.empty()) on_line_(std::exchange(line_, {}));
    if (got_.status != 200) got_.body = headers_.without_key(std::move(got_.body));
    return result;
  }
  Got& got() { return got_; }
  Error failure(CURLcode result) const {
    if (broken_) return *broken_;
    const std::string why = said_.front() != '\0' ? said_.data() : curl_easy_strerror(result);
    return Error(Errc::unavailable, "endpoint " + options_.name + ": " + why);
  }
  bool broken() const { return broken_.has_value(); }
  bool any_lines() const { return any_lines_; }
  std::optional<Duration> retry_after() const { return retry_after_; }

 private:
  void set_headers() {
    if (ask_.upload.empty()) headers_.add("Content-Type: application/json");
    headers_.add("Expect:");
    if (options_.api == HttpApi::anthropic_messages) headers_.add("anthropic-version: 2023-06-01");
    headers_.add_own();
  }

  void set_body() {
    CURL* const e = easy_.get();
    if (!ask_.upload.empty()) {
      mime_.reset(curl_mime_init(e));
      curl_mimepart* part = curl_mime_addpart(mime_.get());
      curl_mime_name(part, "purpose");
      curl_mime_data(part, "batch", CURL_ZERO_TERMINATED);
      part = curl_mime_addpart(mime_.get());
      curl_mime_name(part, "file");
      curl_mime_filename(part, "batch.jsonl");
      curl_mime_type(part, "application/jsonl");
      curl_mime_data(part, ask_.upload.data(), ask_.upload.size());
      curl_easy_setopt(e, CURLOPT_MIMEPOST, mime_.get());
    } else if (!ask_.body.empty()) {
      curl_easy_setopt(e, CURLOPT_POST, 1L);
      curl_easy_setopt(e, CURLOPT_POSTFIELDS, ask_.body.data());
      curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(ask_.body.size()));
    }
  }

  void set_rest() {
    CURL* const e = easy_.get();
    curl_easy_setopt(e, CURLOPT_URL, ask_.url.c_str());
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, said_.data());
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, &Try::on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, &Try::on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, &Try::on_progress);
    curl_easy_setopt(e, CURLOPT_XFERINFODATA, this);
    set_common(e, options_);
    const auto whole = [](Duration d) { return std::max<long>(1, long(d / std::chrono::milliseconds(1))); };
    if (options_.timeouts.gap > Duration::zero()) {
      curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
      curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (whole(options_.timeouts.gap) + 999) / 1000);
    }
  }

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Try*>(self)->stop_.is_set() ? 1 : 0;
  }

  // No exception may pass through curl. Without memory a header is as good as not sent.
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) {
    try {
      if (const std::optional<Duration> wait = retry_after_in({data, size * count}))
        static_cast<Try*>(self)->retry_after_ = wait;
    } catch (...) {
    }
    return size * count;
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
    Try& own = *static_cast<Try*>(self);
    try {
      own.take({data, size * count});
    } catch (...) {
      own.broken_ = caught_error(Errc::internal, "endpoint " + own.options_.name);
    }
    return own.broken_ ? 0 : size * count;
  }

  void take(std::string_view bytes) {
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &got_.status);
    const bool lines = on_line_ && got_.status == 200;
    std::string& into = lines ? line_ : got_.body;
    if (!lines) {
      into += bytes;
    } else {
      any_lines_ = true;
      for (std::size_t end = 0; (end = bytes.find('\n')) != std::string_view::npos; bytes.remove_prefix(end + 1)) {
        line_ += bytes.substr(0, end);
        on_line_(std::exchange(line_, {}));
      }
      line_ += bytes;
    }
    if (into.size() > most_body)
      throw Error(Errc::unavailable, "endpoint " + options_.name + ": the answer is larger than any should be");
  }

  const HttpOptions& options_;
  const Ask& ask_;
  const Stop& stop_;
  const std::function<void(std::string_view)>& on_line_;
  std::unique_ptr<CURL, CurlDeleter> easy_;
  HeaderLines headers_;
  std::unique_ptr<curl_mime, MimeDeleter> mime_{};
  std::array<char, CURL_ERROR_SIZE> said_{};
  Got got_{};
  std::string line_{};
  bool any_lines_ = false;
  std::optional<Duration> retry_after_{};
  std::optional<Error> broken_{};
};

}  // namespace

expected<Got> fetch(const HttpOptions& options, const Ask& ask, const Stop& stop,
                    const std::function<void(std::string_view)>& on_line) {
  std::uint64_t jitter =
      mix64(options.seed + static_cast<std::uint64_t>(steady_clock().now().time_since_epoch().count()));
  try {
    for (std::uint32_t tries = 1;; ++tries) {
      Try one(options, ask, stop, on_line);
      const CURLcode result = one.run();
      const long status = one.got().status;
      const bool never_there = result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST || status == 429;
      const bool failed = result != CURLE_OK || worth_a_retry(status);
      const bool may = never_there || (ask.repeatable && failed && !one.broken() && !one.any_lines());
      if (failed && may && tries <= options.retries.most) {
        const auto wait = retry_wait(options.retries, tries - 1, uniform(jitter), one.retry_after());
        if (wait && !stop.wait_for(*wait)) continue;
      }
      if (stop.is_set()) return unexpected(Errc::unavailable, "endpoint " + options.name + " has been shut down");
      if (result != CURLE_OK) return unexpected(one.failure(result));
      return std::move(one.got());
    }
  } catch (...) {
    return unexpected(caught_error(Errc::internal, "endpoint " + options.name));
  }
}

}  // namespace frugal::http

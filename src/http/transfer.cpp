#include "http/transfer.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <utility>

#include "core/ascii.hpp"
#include "core/caught.hpp"

namespace frugal::http {

namespace {

std::optional<TimePoint> earlier(std::optional<TimePoint> a, std::optional<TimePoint> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

std::optional<TimePoint> after(TimePoint from, Duration wait) {
  if (wait <= Duration::zero()) return std::nullopt;
  return from + wait;
}

}  // namespace

Transfer::Transfer(const HttpOptions& options, Request request, std::shared_ptr<Sink> sink, RequestId id, Post post)
    : options_(options),
      clock_(options.clock != nullptr ? *options.clock : steady_clock()),
      api_(api_of(options.api)),
      request_(std::move(request)),
      sink_(std::make_shared<GuardedSink>(std::move(sink), &options.log, id)),
      cancelled_(std::make_shared<std::atomic<bool>>(false)),
      id_(id),
      post_(std::move(post)),
      headers_(options_),
      stops_(request_.stop),
      submitted_(clock_.now()) {}

std::shared_ptr<Transfer> Transfer::beside(const Transfer& first) {
  auto second = std::make_shared<Transfer>(first.options_, first.request_, nullptr, first.id_, first.post_);
  second->sink_ = first.sink_;
  second->cancelled_ = first.cancelled_;
  second->submitted_ = first.submitted_;
  second->first_try_ = first.first_try_;
  second->tries_ = first.options_.retries.most;  // it is not tried again
  return second;
}

LimitNeed Transfer::need() const noexcept {
  return {.input = double(post_.body.size()) / 4, .output = double(request_.max_tokens)};
}

void Transfer::set_headers() {
  headers_.clear();
  headers_.add("Content-Type: application/json");
  headers_.add("Accept: text/event-stream");
  headers_.add("Expect:");  // no 100-continue: it costs a round trip
  for (const auto& [name, value] : post_.headers) headers_.add(name + ": " + value);
  headers_.add_own();
}

void Transfer::begin_try(TimePoint now) {
  set_headers();
  easy_.reset(curl_easy_init());
  if (!easy_) throw Error(Errc::out_of_memory, "endpoint " + options_.name + ": out of memory");
  ++tries_;
  reader_ = api_.reader(request_);
  events_ = SseParser();
  status_ = 0;
  is_event_stream_ = too_large_ = false;
  error_body_.clear();
  retry_after_.reset();
  try_began_ = last_byte_ = now;
  if (!first_try_) first_try_ = now;
  CURL* const e = easy_.get();
  said_.fill('\0');
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, said_.data());
  curl_easy_setopt(e, CURLOPT_URL, post_.url.c_str());
  curl_easy_setopt(e, CURLOPT_POST, 1L);
  curl_easy_setopt(e, CURLOPT_POSTFIELDS, post_.body.data());
  curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(post_.body.size()));
  curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers_.get());
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(e, CURLOPT_PRIVATE, this);
  curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
  set_common(e, options_);
}

void Transfer::end_try() {
  easy_.reset();
  headers_.clear();
  paused_ = false;
}

// No exception may pass through curl. Without memory a header is as good as not sent.
std::size_t Transfer::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  try {
    static_cast<Transfer*>(self)->header({data, size * count});
  } catch (...) {
  }
  return size * count;
}

void Transfer::header(std::string_view line) {
  if (line == "\r\n" && !limits_.empty() && on_limits) on_limits(std::exchange(limits_, {}));
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string name = lower_ascii(line.substr(0, colon)), value = lower_ascii(line.substr(colon + 1));
  limits_.note(name, value, clock_.wall_now());
  if (name == "content-type") is_event_stream_ = value.find("text/event-stream") != std::string::npos;
  if (const std::optional<Duration> wait = retry_after_in(line)) retry_after_ = wait;
}

std::size_t Transfer::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<Transfer*>(self)->body({data, size * count});
}

// What is returned other than the number of bytes makes curl pause or end the transfer.
std::size_t Transfer::body(std::string_view bytes) {
  if (lost) return 0;
  if (sink_->full()) {
    paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  last_byte_ = clock_.now();
  bytes_in_ += bytes.size();
  try {
    read(bytes);
  } catch (...) {
    broken_ = caught_error(Errc::internal, "endpoint " + options_.name);
  }
  return sink_threw_ || broken_ || too_large_ || stops_.matched() != nullptr ? 0 : bytes.size();
}

void Transfer::read(std::string_view bytes) {
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status_);
  if (status_ != 200 || !is_event_stream_) {
    error_body_.append(bytes.substr(0, most_raw - std::min(most_raw, error_body_.size())));
    return;
  }
  if (!std::exchange(got_bytes_, true) && on_first_byte) on_first_byte();
  if (lost) return;
  too_large_ = !events_.feed(bytes, [this](const SseEvent& event) { take(event); });
}

void Transfer::take(const SseEvent& event) {
  if (sink_threw_ || stops_.matched() != nullptr) return;
  Delta delta = reader_->event(event);
  if (delta.empty()) return;
  ++pieces_;
  stops_.cut(delta);
  give(std::move(delta));
}

void Transfer::give(Delta delta) {
  if (delta.empty()) return;
  if (!first_text_) first_text_ = last_byte_;
  try {
    sink_->on_delta(std::move(delta));
  } catch (...) {  // the caller has given up; GuardedSink has noted why
    sink_threw_ = true;
  }
}

bool Transfer::resume() {
  if (!paused_ || sink_->full()) return false;
  paused_ = false;
  last_byte_ = clock_.now();  // the silence was the reader's
  curl_easy_pause(easy_.get(), CURLPAUSE_CONT);
  return true;
}

std::optional<Transfer::Overdue> Transfer::overdue(TimePoint now) const {
  if (cancelled()) return Overdue{FinishReason::cancelled, std::nullopt};
  if (request_.deadline && now >= *request_.deadline) return Overdue{FinishReason::deadline, std::nullopt};
  const auto late = [&](const std::string& what) {
    return Overdue{FinishReason::error, Error(Errc::unavailable, "endpoint " + options_.name + ": " + what)};
  };
  const HttpTimeouts& t = options_.timeouts;
  if (t.total > Duration::zero() && now >= submitted_ + t.total) return late("the whole answer took too long");
  if (!easy_ || paused_) return std::nullopt;
  if (fresh() && t.first_byte > Duration::zero() && now >= try_began_ + t.first_byte)
    return late("no answer began in time");
  if (!fresh() && t.gap > Duration::zero() && now >= last_byte_ + t.gap)
    return late("the answer stood still for too long");
  return std::nullopt;
}

std::optional<TimePoint> Transfer::next_check() const {
  std::optional<TimePoint> next = earlier(request_.deadline, after(submitted_, options_.timeouts.total));
  if (easy_ && fresh()) next = earlier(next, hedge_after);
  if (!easy_ || paused_) return next;
  return earlier(next,
                 fresh() ? after(try_began_, options_.timeouts.first_byte) : after(last_byte_, options_.timeouts.gap));
}

bool Transfer::plan_retry(CURLcode result, TimePoint now, double jitter) {
  const HttpRetries& r = options_.retries;
  if (!fresh() || sink_threw_ || broken_ || tries_ > r.most) return false;
  const bool unheard = result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST ||
                       result == CURLE_OPERATION_TIMEDOUT || result == CURLE_GOT_NOTHING ||
                       result == CURLE_RECV_ERROR || result == CURLE_SEND_ERROR;
  if (!unheard && !(result == CURLE_OK && worth_a_retry(status_))) return false;
  const std::optional<Duration> wait = retry_wait(r, tries_ - 1, jitter, retry_after_);
  if (!wait) return false;
  not_before_ = now + *wait;
  return !request_.deadline || not_before_ < *request_.deadline;
}

Error Transfer::failure(CURLcode result) const {
  const std::string who = "endpoint " + options_.name + ": ";
  if (too_large_) return Error(Errc::unavailable, who + "an event of the answer is larger than any should be");
  const char* const why = said_.front() != '\0' ? said_.data() : curl_easy_strerror(result);
  if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE)
    return Error(Errc::unavailable, who + "the server's certificate is not trusted: " + why);
  return Error(Errc::unavailable, who + why);
}

Finish Transfer::outcome(CURLcode result, TimePoint now) {
  if (sink_threw_) return finished(FinishReason::cancelled, std::nullopt, now);
  if (broken_) return finished(FinishReason::error, broken_, now);
  if (stops_.matched() != nullptr) return finished(FinishReason::stop, std::nullopt, now);
  if (easy_) curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status_);
  if (status_ >= 300) {
    const bool final = status_ < 500;
    return finished(final ? FinishReason::refused : FinishReason::error,
                    error_of_status(status_, error_body_, options_.name), now);
  }
  const Progressed& p = reader_->progress();
  const std::string who = "endpoint " + options_.name + ": ";
  if (p.error) return finished(FinishReason::error, Error(p.error->code(), who + p.error->message()), now);
  if (p.reason && (result == CURLE_OK || p.ended)) return finished(*p.reason, std::nullopt, now);
  if (result != CURLE_OK) return finished(FinishReason::error, failure(result), now);
  if (!is_event_stream_)
    return finished(FinishReason::error,
                    Error(Errc::denied, who + "the answer is not an event stream, so this is not the API's address, or "
                                              "it cannot stream; what came is in Finish::raw only"),
                    now);
  return finished(FinishReason::error, Error(Errc::unavailable, who + "the answer was cut off"), now);
}

Finish Transfer::finished(FinishReason reason, std::optional<Error> error, TimePoint now) {
  if (!sink_threw_) give(stops_.rest());
  Finish f;
  f.reason = sink_threw_ ? FinishReason::cancelled : reason;
  if (error && !sink_threw_) f.error = Error(error->code(), headers_.without_key(error->message()));
  f.model = options_.model;
  f.id = request_.id;
  f.request = id_;
  if (reader_) {
    reader_->tell(f);
    if (stops_.matched() != nullptr) f.detail = *stops_.matched();
    if (!error_body_.empty()) f.raw = error_body_;
    f.raw = headers_.without_key(std::move(f.raw));
    if (pieces_ > 0 && f.usage.output == 0) {  // the stream ended before the provider's own count came
      f.usage.output = pieces_;
      if (f.usage.input == 0) f.usage.input = static_cast<std::uint64_t>(need().input);
      if (f.detail.empty())
        f.detail = "usage: none reported; " + std::to_string(pieces_) + " pieces counted here, the prompt taken as " +
                   std::to_string(f.usage.input) + " tokens";
    }
  }
  f.timing.queue = first_try_.value_or(now) - submitted_;
  if (first_text_) f.timing.ttft = *first_text_ - submitted_;
  f.timing.e2e = now - submitted_;
  if (tries_ > 0) {
    f.ledger.attempts.push_back(attempt_of(f, options_));
    if (also) add_lost(f);
  }
  return f;
}

// What the losing try cost is the provider's secret; its prompt is the same, and is taken as paid for.
void Transfer::add_lost(Finish& f) const {
  Attempt attempt = *also;
  attempt.model = f.ledger.attempts.back().model;
  attempt.usage = Usage{.input = f.usage.input};
  f.usage += attempt.usage;
  f.ledger.attempts.push_back(std::move(attempt));
  if (f.detail.empty()) f.detail = "hedged: a second try was cancelled; its prompt is counted, its output is not known";
}

void Transfer::deliver(Finish finish) noexcept {
  live_ = false;
  sink_->on_finish(std::move(finish));
}

}  // namespace frugal::http

// The endpoint's thread: starts tries, lets curl move bytes, ends what is done, late or cancelled, sleeps in between.
#include <frugal/core/error.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <algorithm>
#include <cmath>
#include <deque>
#include <list>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

#include "core/caught.hpp"
#include "core/splitmix.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/refusal.hpp"
#include "endpoint/step_scope.hpp"
#include "http/transfer.hpp"

namespace frugal {

namespace {

using http::Transfer;
using Held = std::shared_ptr<Transfer>;

constexpr std::uint64_t free_retries = 10;
constexpr int longest_sleep_ms = 60'000;

void start_curl_once() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw Error(Errc::unavailable, std::string("libcurl: ") + curl_easy_strerror(started));
}

void check(const HttpOptions& o) {
  const auto refuse = [](const std::string& why) { throw Error(Errc::invalid_argument, "HttpOptions: " + why); };
  if (o.name.empty()) refuse("name is empty");
  if (o.model.empty()) refuse("model is empty");
  if (o.url.rfind("http://", 0) != 0 && o.url.rfind("https://", 0) != 0)
    refuse("url must begin with http:// or https://, and is \"" + o.url + "\"");
  if (o.url.find_first_of(" \r\n") != std::string::npos) refuse("url holds a blank or a line end");
  if (o.max_running == 0) refuse("max_running is 0");
  if (!(o.retries.budget >= 0 && std::isfinite(o.retries.budget))) refuse("retries.budget is not a share");
  for (const auto& [name, value] : o.headers)
    if (name.empty() || (name + value).find_first_of("\r\n") != std::string::npos)
      refuse("a header is empty or holds a line end");
}

double uniform(std::uint64_t& state) { return unit_interval(mix64(state += splitmix_gamma)); }

struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

}  // namespace

struct HttpEndpoint::Impl {
  Impl(HttpEndpoint& self_, HttpOptions o) : self(self_), options(std::move(o)), jitter(options.seed) {
    start_curl_once();
    check(options);
    while (!options.url.empty() && options.url.back() == '/') options.url.pop_back();
    multi.reset(curl_multi_init());
    if (!multi) throw Error(Errc::out_of_memory, "HttpEndpoint: out of memory");
  }

  void run();
  struct Orders {
    std::list<Held> arrived{};
    bool stop = false;
    bool woken = false;  ///< somebody cancelled, or a reader has room again
  };
  Orders take_orders();
  void begin_due(TimePoint now);
  void begin(const Held& transfer, TimePoint now);
  void end_done(TimePoint now);
  void end_cancelled(TimePoint now);
  void end_late(TimePoint now);
  void give_up(const Held& transfer, TimePoint now);
  void resume_paused();
  void finish(const Held& transfer, Finish end);
  void leave_wire(const Held& transfer);
  void watch_clock(const Held& transfer);
  int sleep_ms(TimePoint now) const;
  void end_everything();
  void hand_on_errands();
  bool run_errand();
  bool may_retry() const {
    return double(stats.retries) < double(free_retries) + options.retries.budget * double(stats.requests);
  }

  HttpEndpoint& self;
  HttpOptions options;
  std::unique_ptr<CURLM, MultiDeleter> multi;
  std::thread thread;

  mutable std::mutex mutex;  // guards what follows, up to the blank line
  std::list<Held> inbox;
  std::list<std::function<void()>> errands;
  bool stopping = false, woken = false;
  std::size_t live = 0, on_wire = 0;
  std::uint64_t last_id = 0;
  HttpStats stats;

  // The thread's own.
  std::list<Held> waiting;  // for a place on the wire, or for the time of their next try
  std::unordered_map<CURL*, Held> running;
  std::vector<Held> begun;  // their first byte came in this turn, so they are late at another time than before
  std::set<std::pair<TimePoint, Held>> alarms;
  std::unordered_map<Transfer*, TimePoint> alarm_of;
  std::uint64_t jitter;
};

HttpEndpoint::Impl::Orders HttpEndpoint::Impl::take_orders() {
  const std::lock_guard lock(mutex);
  return {std::exchange(inbox, {}), stopping, std::exchange(woken, false)};
}

void HttpEndpoint::Impl::run() {
  for (;;) {
    Orders orders = take_orders();
    for (const Held& t : orders.arrived) watch_clock(t);
    waiting.splice(waiting.end(), orders.arrived);
    if (orders.stop) break;
    {
      StepScope scope;
      if (orders.woken) {
        end_cancelled(steady_clock().now());
        resume_paused();
      }
      begin_due(steady_clock().now());
      int active = 0;
      curl_multi_perform(multi.get(), &active);
      for (const Held& t : std::exchange(begun, {})) watch_clock(t);
      end_done(steady_clock().now());
      end_late(steady_clock().now());
      const std::lock_guard lock(mutex);
      errands.splice(errands.end(), scope.errands);
    }
    hand_on_errands();
    self.watchers().step_ended();
    curl_multi_poll(multi.get(), nullptr, 0, sleep_ms(steady_clock().now()), nullptr);
  }
  end_everything();
}

// Whoever waits does them; nobody waits, so this thread does.
void HttpEndpoint::Impl::hand_on_errands() {
  {
    const std::lock_guard lock(mutex);
    if (errands.empty()) return;
  }
  if (!self.watchers().empty()) return self.watchers().call_one();
  while (run_errand()) {
  }
}

bool HttpEndpoint::Impl::run_errand() {
  std::list<std::function<void()>> job;
  {
    const std::lock_guard lock(mutex);
    if (errands.empty()) return false;
    job.splice(job.end(), errands, errands.begin());
  }
  try {
    job.front()();
  } catch (...) {
    if (options.log) options.log(LogLevel::error, 0, "work after a step failed: " + caught_text());
  }
  return true;
}

void HttpEndpoint::Impl::begin_due(TimePoint now) {
  for (auto t = waiting.begin(); t != waiting.end() && running.size() < options.max_running;) {
    if ((*t)->not_before() > now) {
      ++t;
      continue;
    }
    const Held transfer = *t;
    t = waiting.erase(t);
    begin(transfer, now);
  }
}

void HttpEndpoint::Impl::begin(const Held& transfer, TimePoint now) {
  if (transfer->cancelled.load()) return finish(transfer, transfer->finished(FinishReason::cancelled, {}, now));
  try {
    transfer->begin_try(now);
  } catch (...) {
    transfer->end_try();
    Error error = caught_error(Errc::invalid_argument, "endpoint " + options.name + ": the key's callback");
    return finish(transfer, transfer->finished(FinishReason::error, std::move(error), now));
  }
  transfer->on_first_byte = [this, held = std::weak_ptr(transfer)] { begun.push_back(held.lock()); };
  running.emplace(transfer->handle(), transfer);
  curl_multi_add_handle(multi.get(), transfer->handle());
  watch_clock(transfer);
  const std::lock_guard lock(mutex);
  ++stats.tries;
  on_wire = running.size();
}

void HttpEndpoint::Impl::end_done(TimePoint now) {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const auto found = running.find(message->easy_handle);
    if (found == running.end()) continue;
    const Held transfer = found->second;
    const CURLcode result = message->data.result;
    const bool again = may_retry() && !transfer->cancelled.load() && transfer->plan_retry(result, now, uniform(jitter));
    std::optional<Finish> end;
    if (!again) end = transfer->outcome(result, now);
    leave_wire(transfer);
    if (end) {
      finish(transfer, std::move(*end));
      continue;
    }
    waiting.push_back(transfer);
    watch_clock(transfer);
    const std::lock_guard lock(mutex);
    ++stats.retries;
  }
}

void HttpEndpoint::Impl::end_cancelled(TimePoint now) {
  std::vector<Held> gone;
  for (const auto& [handle, t] : running)
    if (t->cancelled.load()) gone.push_back(t);
  for (const Held& t : waiting)
    if (t->cancelled.load()) gone.push_back(t);
  for (const Held& t : gone) give_up(t, now);
}

void HttpEndpoint::Impl::end_late(TimePoint now) {
  while (!alarms.empty() && alarms.begin()->first <= now) {
    const Held t = alarms.begin()->second;
    alarms.erase(alarms.begin());
    alarm_of.erase(t.get());
    if (t->overdue(now))
      give_up(t, now);
    else
      watch_clock(t);
  }
}

void HttpEndpoint::Impl::give_up(const Held& transfer, TimePoint now) {
  const std::optional<Transfer::Overdue> why = transfer->overdue(now);
  if (!why) return;
  Finish end = transfer->finished(why->reason, why->error, now);
  leave_wire(transfer);
  std::erase(waiting, transfer);
  finish(transfer, std::move(end));
}

void HttpEndpoint::Impl::resume_paused() {
  for (const auto& [handle, transfer] : running)
    if (transfer->paused() && transfer->resume()) watch_clock(transfer);
}

// One alarm for each transfer: at the time when it may be overdue.
void HttpEndpoint::Impl::watch_clock(const Held& transfer) {
  if (const auto set = alarm_of.find(transfer.get()); set != alarm_of.end()) {
    alarms.erase({set->second, transfer});
    alarm_of.erase(set);
  }
  const std::optional<TimePoint> next = transfer->next_check();
  if (!next) return;
  alarms.emplace(*next, transfer);
  alarm_of.emplace(transfer.get(), *next);
}

void HttpEndpoint::Impl::leave_wire(const Held& transfer) {
  if (transfer->handle() == nullptr) return;
  curl_multi_remove_handle(multi.get(), transfer->handle());
  running.erase(transfer->handle());
  transfer->end_try();
  const std::lock_guard lock(mutex);
  on_wire = running.size();
}

void HttpEndpoint::Impl::finish(const Held& transfer, Finish end) {
  if (const auto set = alarm_of.find(transfer.get()); set != alarm_of.end()) {
    alarms.erase({set->second, transfer});
    alarm_of.erase(set);
  }
  if (options.log && end.error)  // its text may repeat the prompt, because servers do: it is for the caller only
    options.log(LogLevel::warning, transfer->id().value,
                "endpoint " + options.name + ": a request ended as " + std::string(to_string(end.error->code())));
  {
    const std::lock_guard lock(mutex);
    --live;
    stats.bytes_in += transfer->bytes_in();
  }
  transfer->deliver(std::move(end));
}

int HttpEndpoint::Impl::sleep_ms(TimePoint now) const {
  std::optional<TimePoint> next;
  if (!alarms.empty()) next = alarms.begin()->first;
  if (running.size() < options.max_running)
    for (const Held& t : waiting) next = next ? std::min(*next, t->not_before()) : t->not_before();
  if (!next) return longest_sleep_ms;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, longest_sleep_ms));
}

void HttpEndpoint::Impl::end_everything() {
  StepScope scope;
  const TimePoint now = steady_clock().now();
  std::vector<Held> all(waiting.begin(), waiting.end());
  for (const auto& [handle, transfer] : running) all.push_back(transfer);
  waiting.clear();
  for (const Held& t : all) {
    Finish end = t->finished(FinishReason::cancelled, std::nullopt, now);
    leave_wire(t);
    finish(t, std::move(end));
  }
  const std::lock_guard lock(mutex);
  errands.splice(errands.end(), scope.errands);
}

HttpEndpoint::HttpEndpoint(HttpOptions options) : impl_(std::make_unique<Impl>(*this, std::move(options))) {
  try {
    impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
  } catch (const std::system_error& error) {
    throw Error(Errc::unavailable, std::string("HttpEndpoint: no thread: ") + error.what());
  }
}

HttpEndpoint::~HttpEndpoint() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  curl_multi_wakeup(impl_->multi.get());
  impl_->thread.join();
  while (impl_->run_errand()) {
  }
  retire();
}

std::string_view HttpEndpoint::name() const { return impl_->options.name; }

Call HttpEndpoint::start(Request request, std::shared_ptr<Sink> sink) {
  Impl& impl = *impl_;
  const auto refuse = [&](Error error, RequestId id) {
    Finish end = refusal(std::move(error), request.model.empty() ? impl.options.model : request.model);
    end.id = request.id;
    end.request = id;
    GuardedSink(sink, &impl.options.log, id).on_finish(std::move(end));
    return Call({}, id);
  };
  RequestId id;
  bool full = false, closed = false;
  {
    const std::lock_guard lock(impl.mutex);
    id = RequestId(++impl.last_id);
    closed = impl.stopping;
    full = impl.live >= std::size_t{impl.options.max_running} + impl.options.max_waiting;
  }
  if (closed) return refuse(Error(Errc::unavailable, "endpoint " + impl.options.name + " has been shut down"), id);
  if (full) return refuse(Error(Errc::busy, "endpoint " + impl.options.name + ": its queue is full"), id);
  if (may_answer(request.model).empty())
    return refuse(Error(Errc::invalid_argument, "endpoint " + impl.options.name + " has no model \"" + request.model +
                                                    "\"; it answers as \"" + impl.options.model + "\""),
                  id);
  expected<http::Post> post = http::api_of(impl.options.api).post(request, impl.options);
  if (!post) return refuse(post.error(), id);
  auto transfer = std::make_shared<Transfer>(impl.options, std::move(request), std::move(sink), id, std::move(*post));
  {
    const std::lock_guard lock(impl.mutex);
    impl.inbox.push_back(transfer);
    ++impl.live;
    ++impl.stats.requests;
  }
  curl_multi_wakeup(impl.multi.get());
  return Call(
      [weak = std::weak_ptr<Transfer>(transfer), self = EndpointRef(*this)] {
        const Held t = weak.lock();
        if (!t || t->cancelled.exchange(true)) return;
        if (const EndpointRef::Visit visit = self.enter()) visit->wake();
      },
      id);
}

Progress HttpEndpoint::step() {
  if (impl_->run_errand()) return Progress::worked;
  const std::lock_guard lock(impl_->mutex);
  return impl_->live == 0 ? Progress::idle : Progress::elsewhere;
}

void HttpEndpoint::wake() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->woken = true;
  }
  curl_multi_wakeup(impl_->multi.get());
}

Load HttpEndpoint::load() const {
  const std::lock_guard lock(impl_->mutex);
  return {.running = static_cast<std::uint32_t>(impl_->on_wire),
          .waiting = static_cast<std::uint32_t>(impl_->live - std::min(impl_->live, impl_->on_wire)),
          .accepting = !impl_->stopping};
}

std::vector<std::string> HttpEndpoint::may_answer(std::string_view model) const {
  if (model.empty() || model == impl_->options.model || model == impl_->options.name) return {impl_->options.model};
  return {};
}

HttpStats HttpEndpoint::stats() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->stats;
}

}  // namespace frugal

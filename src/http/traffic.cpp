#include "http/traffic.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/caught.hpp"
#include "core/splitmix.hpp"
#include "endpoint/step_scope.hpp"

namespace frugal::http {

namespace {

constexpr std::uint64_t free_retries = 10;
constexpr int longest_sleep_ms = 60'000;
constexpr int out_of_memory_sleep_ms = 10;

double uniform(std::uint64_t& state) { return unit_interval(mix64(state += splitmix_gamma)); }

void start_curl_once() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw Error(Errc::unavailable, std::string("libcurl: ") + curl_easy_strerror(started));
}

}  // namespace

Traffic::Traffic(const HttpOptions& options, Watchers& watchers)
    : options_(options),
      clock_(options.clock != nullptr ? *options.clock : steady_clock()),
      watchers_(watchers),
      who_("endpoint " + options.name),
      jitter_(options.seed) {
  start_curl_once();
  multi_.reset(curl_multi_init());
  if (!multi_) throw Error(Errc::out_of_memory, "HttpEndpoint: out of memory");
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    throw Error(Errc::unavailable, std::string("HttpEndpoint: no thread: ") + error.what());
  }
}

Traffic::~Traffic() { stop(); }

void Traffic::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  curl_multi_wakeup(multi_.get());
  if (thread_.joinable()) thread_.join();
  while (run_errand()) {
  }
}

Traffic::Ticket Traffic::ticket() {
  const std::lock_guard lock(mutex_);
  const bool full = live_ >= std::size_t{options_.max_running} + options_.max_waiting;
  return {RequestId(++last_id_), stopping_ ? Room::closed : full ? Room::full : Room::free};
}

bool Traffic::enqueue(const Held& transfer) {
  std::list<Held> one{transfer};
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    inbox_.splice(inbox_.end(), one);
    ++live_;
    ++stats_.requests;
  }
  curl_multi_wakeup(multi_.get());
  return true;
}

void Traffic::wake() noexcept {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  curl_multi_wakeup(multi_.get());
}

bool Traffic::idle() const {
  const std::lock_guard lock(mutex_);
  return live_ == 0;
}

Load Traffic::load() const {
  const std::lock_guard lock(mutex_);
  return {.running = static_cast<std::uint32_t>(on_wire_),
          .waiting = static_cast<std::uint32_t>(live_ - std::min(live_, on_wire_)),
          .accepting = !stopping_};
}

HttpStats Traffic::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

bool Traffic::may_retry() const {
  return double(stats_.retries) < double(free_retries) + options_.retries.budget * double(stats_.requests);
}

Traffic::Orders Traffic::take_orders() {
  const std::lock_guard lock(mutex_);
  Orders orders;
  orders.arrived.swap(inbox_);
  orders.stop = stopping_;
  orders.woken = std::exchange(woken_, false);
  return orders;
}

void Traffic::run() {
  for (;;) {
    int sleep = out_of_memory_sleep_ms;
    try {
      if (!turn()) break;
      hand_on_errands();
      watchers_.step_ended();
      sleep = sleep_ms(now());
    } catch (...) {  // no memory: what was left undone is done in the next turn
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    curl_multi_poll(multi_.get(), nullptr, 0, sleep, nullptr);
  }
  end_everything();
}

bool Traffic::turn() {
  Orders orders = take_orders();
  for (const Held& t : orders.arrived) watch_clock(t);
  waiting_.splice(waiting_.end(), orders.arrived);
  set_lost_alarms();
  if (orders.stop) return false;
  StepScope scope;
  const struct Handing {  // also where memory runs out half-way
    Traffic& traffic;
    StepScope& scope;
    ~Handing() {
      const std::lock_guard lock(traffic.mutex_);
      traffic.errands_.splice(traffic.errands_.end(), scope.errands);
    }
  } handing{*this, scope};
  if (orders.woken) {
    end_cancelled(now());
    resume_paused();
  }
  begin_due(now());
  move_bytes();
  end_done(now());
  end_late(now());
  return true;
}

void Traffic::move_bytes() {
  int active = 0;
  curl_multi_perform(multi_.get(), &active);
}

// Whoever waits does them; nobody waits, so this thread does.
void Traffic::hand_on_errands() {
  {
    const std::lock_guard lock(mutex_);
    if (errands_.empty()) return;
  }
  if (!watchers_.empty()) return watchers_.call_one();
  while (run_errand()) {
  }
}

bool Traffic::run_errand() {
  std::list<std::function<void()>> job;
  {
    const std::lock_guard lock(mutex_);
    if (errands_.empty()) return false;
    job.splice(job.end(), errands_, errands_.begin());
  }
  try {
    job.front()();
  } catch (...) {
    if (options_.log) options_.log(LogLevel::error, 0, "work after a step failed: " + caught_text());
  }
  return true;
}

void Traffic::begin_due(TimePoint now) {
  for (auto t = waiting_.begin(); t != waiting_.end() && running_.size() < options_.max_running;) {
    if ((*t)->not_before() > now) {
      ++t;
      continue;
    }
    const Held transfer = *t;
    t = waiting_.erase(t);
    begin(transfer, now);
  }
}

void Traffic::begin(const Held& transfer, TimePoint now) {
  if (transfer->cancelled.load()) return end_as(transfer, FinishReason::cancelled, std::nullopt, now);
  try {
    transfer->begin_try(now);
    transfer->on_first_byte = [this, held = std::weak_ptr(transfer)] { watch_clock(held.lock()); };
    running_.emplace(transfer->handle(), transfer);
    if (const CURLMcode code = curl_multi_add_handle(multi_.get(), transfer->handle()); code != CURLM_OK)
      throw Error(Errc::unavailable, who_ + ": " + curl_multi_strerror(code));
  } catch (...) {
    return end_as(transfer, FinishReason::error, caught_error(Errc::invalid_argument, who_ + ": the key's callback"),
                  now);
  }
  watch_clock(transfer);
  const std::lock_guard lock(mutex_);
  ++stats_.tries;
  on_wire_ = running_.size();
}

void Traffic::end_done(TimePoint now) {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const auto found = running_.find(message->easy_handle);
    if (found == running_.end()) continue;
    const Held transfer = found->second;
    try {
      end_try(transfer, message->data.result, now);
    } catch (...) {
      end_as(transfer, FinishReason::error, caught_error(Errc::internal, who_), now);
    }
  }
}

void Traffic::end_try(const Held& transfer, CURLcode result, TimePoint now) {
  const bool again = may_retry() && !transfer->cancelled.load() && transfer->plan_retry(result, now, uniform(jitter_));
  if (!again) {
    Finish end = transfer->outcome(result, now);
    return finish(transfer, std::move(end));
  }
  waiting_.push_back(transfer);
  leave_wire(transfer);
  watch_clock(transfer);
  const std::lock_guard lock(mutex_);
  ++stats_.retries;
}

void Traffic::end_cancelled(TimePoint now) {
  std::vector<Held> gone;
  for (const auto& [handle, t] : running_)
    if (t->cancelled.load()) gone.push_back(t);
  for (const Held& t : waiting_)
    if (t->cancelled.load()) gone.push_back(t);
  for (const Held& t : gone) give_up(t, now);
}

void Traffic::end_late(TimePoint now) {
  while (const std::optional<Held> t = alarms_.take_due(now)) {
    give_up(*t, now);
    if ((*t)->live()) watch_clock(*t);
  }
}

void Traffic::give_up(const Held& transfer, TimePoint now) {
  try {
    const std::optional<Transfer::Overdue> why = transfer->overdue(now);
    if (why) finish(transfer, transfer->finished(why->reason, why->error, now));
  } catch (...) {
    end_as(transfer, FinishReason::error, caught_error(Errc::internal, who_), now);
  }
}

void Traffic::resume_paused() {
  for (const auto& [handle, transfer] : running_)
    if (transfer->paused() && transfer->resume()) watch_clock(transfer);
}

// One alarm for each transfer: at the time when it may be overdue.
void Traffic::watch_clock(const Held& transfer) noexcept {
  try {
    alarms_.set(transfer, transfer->next_check());
  } catch (...) {
    alarms_lost_ = true;
  }
}

void Traffic::set_lost_alarms() noexcept {
  if (!std::exchange(alarms_lost_, false)) return;
  for (const auto& [handle, t] : running_) watch_clock(t);
  for (const Held& t : waiting_) watch_clock(t);
}

void Traffic::leave_wire(const Held& transfer) noexcept {
  if (transfer->handle() == nullptr) return;
  curl_multi_remove_handle(multi_.get(), transfer->handle());
  running_.erase(transfer->handle());
  transfer->end_try();
  const std::lock_guard lock(mutex_);
  on_wire_ = running_.size();
}

// What must hold of every end, with or without memory: it is given once.
void Traffic::end_as(const Held& transfer, FinishReason reason, std::optional<Error> error, TimePoint now) noexcept {
  Finish end;
  try {
    end = transfer->finished(reason, error, now);
  } catch (...) {
    end.reason = reason;
    end.error = std::move(error);
    end.request = transfer->id();
  }
  finish(transfer, std::move(end));
}

void Traffic::finish(const Held& transfer, Finish end) noexcept {
  leave_wire(transfer);
  std::erase(waiting_, transfer);
  alarms_.erase(transfer);
  note_end(*transfer, end);
  {
    const std::lock_guard lock(mutex_);
    --live_;
    stats_.bytes_in += transfer->bytes_in();
  }
  transfer->deliver(std::move(end));
}

// Without the error's text, which may repeat the prompt, because servers do: that is for the caller only.
void Traffic::note_end(const Transfer& transfer, const Finish& end) const noexcept {
  if (!options_.log || !end.error) return;
  try {
    options_.log(LogLevel::warning, transfer.id().value,
                 who_ + ": a request ended as " + std::string(to_string(end.error->code())));
  } catch (...) {  // no memory for the words
  }
}

int Traffic::sleep_ms(TimePoint now) const {
  if (alarms_lost_) return out_of_memory_sleep_ms;
  std::optional<TimePoint> next = alarms_.next();
  if (running_.size() < options_.max_running)
    for (const Held& t : waiting_) next = next ? std::min(*next, t->not_before()) : t->not_before();
  if (!next) return longest_sleep_ms;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, longest_sleep_ms));
}

void Traffic::end_everything() noexcept {
  const TimePoint at = now();
  while (!waiting_.empty()) end_as(Held(waiting_.front()), FinishReason::cancelled, std::nullopt, at);
  while (!running_.empty()) end_as(Held(running_.begin()->second), FinishReason::cancelled, std::nullopt, at);
}

}  // namespace frugal::http

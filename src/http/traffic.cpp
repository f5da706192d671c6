#include "http/traffic.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/caught.hpp"
#include "core/printable.hpp"
#include "http/easy.hpp"

namespace frugal::http {

namespace {

constexpr std::uint64_t free_retries = 10;
constexpr std::chrono::milliseconds longest_sleep{60'000}, out_of_memory_sleep{10};

}  // namespace

Traffic::Traffic(const HttpOptions& options, Watchers& watchers)
    : options_(options),
      clock_(options.clock != nullptr ? *options.clock : steady_clock()),
      watchers_(watchers),
      who_("endpoint " + options.name),
      errands_(options.log),
      hedging_(options.hedging),
      jitter_(options.seed) {
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
  wire_.wake();
  if (thread_.joinable()) thread_.join();
  while (errands_.run()) {
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
  wire_.wake();
  return true;
}

void Traffic::wake() noexcept {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wire_.wake();
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
  const std::lock_guard lock(mutex_);
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
    std::chrono::milliseconds sleep = out_of_memory_sleep;
    try {
      if (!turn()) break;
      errands_.hand_on(watchers_);
      watchers_.step_ended();
      sleep = time_to_sleep(now());
    } catch (...) {  // no memory: what was left undone is done in the next turn
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    wire_.sleep(sleep);
  }
  end_everything();
}

bool Traffic::turn() {
  Orders orders = take_orders();
  for (const Held& t : orders.arrived) watch_clock(t);
  waiting_.splice(waiting_.end(), orders.arrived);
  set_lost_alarms();
  if (orders.stop) return false;
  const Errands::Scope scope(errands_);
  if (orders.woken) {
    end_cancelled(now());
    resume_paused();
  }
  begin_due(now());
  wire_.move();
  drop_losers();
  end_done(now());
  end_late(now());
  return true;
}

void Traffic::begin_due(TimePoint now) {
  held_until_ = now;
  for (auto t = waiting_.begin(); t != waiting_.end() && running_.size() < options_.max_running;) {
    if ((*t)->not_before() > now) {
      ++t;
      continue;
    }
    if (options_.obey_rate_limits) held_until_ = limits_.open_at((*t)->need(), now);
    if (held_until_ > now) return;  // in the order in which they came
    const Held transfer = *t;
    t = waiting_.erase(t);
    begin(transfer, now);
  }
}

void Traffic::begin(const Held& transfer, TimePoint now) {
  if (transfer->cancelled()) return end_as(transfer, FinishReason::cancelled, std::nullopt, now);
  try {
    transfer->begin_try(now);
    listen_to(transfer);
    running_.emplace(transfer->handle(), transfer);
    if (const CURLMcode code = wire_.add(transfer->handle()); code != CURLM_OK)
      throw Error(Errc::unavailable, who_ + ": " + curl_multi_strerror(code));
  } catch (...) {
    return end_as(transfer, FinishReason::error, caught_error(Errc::invalid_argument, who_ + ": the key's callback"),
                  now);
  }
  limits_.begun(transfer->need());
  transfer->unanswered = true;
  watch_clock(transfer);
  const std::lock_guard lock(mutex_);
  ++stats_.tries;
  on_wire_ = running_.size();
}

void Traffic::listen_to(const Held& transfer) {
  transfer->on_first_byte = [this, weak = std::weak_ptr(transfer)] { first_byte(weak.lock()); };
  transfer->on_limits = [this, weak = std::weak_ptr(transfer)](const LimitReport& report) {
    const Held t = weak.lock();
    if (std::exchange(t->unanswered, false)) limits_.gone(t->need());
    limits_.heard(report, now());
  };
  const bool alone = transfer->rival.expired();
  transfer->hedge_after.reset();
  if (const std::optional<Duration> patience = hedging_.patience(); patience && alone)
    transfer->hedge_after = now() + *patience;
}

void Traffic::end_done(TimePoint now) {
  while (const CURLMsg* message = wire_.next_done()) {
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
  if (const std::optional<Duration> pause = transfer->pause(); pause && *pause <= options_.retries.longest)
    limits_.close_until(now + *pause);
  const bool again = transfer->rival.expired() && may_retry() && !transfer->cancelled() &&
                     transfer->plan_retry(result, now, uniform(jitter_));
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
    if (t->cancelled()) gone.push_back(t);
  for (const Held& t : waiting_)
    if (t->cancelled()) gone.push_back(t);
  for (const Held& t : gone) give_up(t, now);
}

void Traffic::end_late(TimePoint now) {
  while (const std::optional<Held> t = alarms_.take_due(now)) {
    give_up(*t, now);
    if (!(*t)->live()) continue;
    if ((*t)->hedge_after && *(*t)->hedge_after <= now) hedge(*t, now);
    watch_clock(*t);
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
  if (std::exchange(transfer->unanswered, false)) limits_.gone(transfer->need());
  if (transfer->handle() == nullptr) return;
  wire_.remove(transfer->handle());
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
  if (const Held rival = transfer->rival.lock()) {
    const bool failed = end.reason == FinishReason::error || end.reason == FinishReason::refused;
    if (failed && !rival->lost) return drop(transfer, false);  // the other one answers
    drop(rival, true);
  }
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
    const std::string name = end.id.empty() ? "a request" : "the request " + printable(end.id);
    const std::string status = transfer.status() == 0 ? "" : " (status " + std::to_string(transfer.status()) + ")";
    options_.log(LogLevel::warning, transfer.id().value,
                 who_ + ": " + name + " ended as " + std::string(to_string(end.error->code())) + status);
  } catch (...) {  // no memory for the words
  }
}

std::chrono::milliseconds Traffic::time_to_sleep(TimePoint now) const {
  if (alarms_lost_) return out_of_memory_sleep;
  std::optional<TimePoint> next = alarms_.next();
  if (running_.size() < options_.max_running)
    for (const Held& t : waiting_)
      if (const TimePoint at = std::max(t->not_before(), held_until_); at != TimePoint::max())
        next = next ? std::min(*next, at) : at;
  if (!next) return longest_sleep;
  return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(*next - now), std::chrono::milliseconds(0),
                    longest_sleep);
}

void Traffic::end_everything() noexcept {
  const Errands::Scope scope(errands_);
  const TimePoint at = now();
  while (!waiting_.empty()) end_as(Held(waiting_.front()), FinishReason::cancelled, std::nullopt, at);
  while (!running_.empty()) end_as(Held(running_.begin()->second), FinishReason::cancelled, std::nullopt, at);
}

}  // namespace frugal::http

// Who drives: one thread at a time has the wheel and makes a step with it. Whoever waits may take it; with
// EngineOptions::own_thread only the engine's own thread does.
#include <frugal/core/error.hpp>

#include <limits>
#include <string>
#include <utility>

#include "core/caught.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/lending.hpp"
#include "endpoint/refusal.hpp"
#include "endpoint/step_scope.hpp"
#include "engine/engine_impl.hpp"
#include "engine/views.hpp"

namespace frugal {
namespace {

// When the steady clock shows what `clock` will show at `then`; none = never.
std::optional<TimePoint> on_steady_clock(TimePoint then, const Clock& clock) {
  if (then == TimePoint::max()) return std::nullopt;
  const TimePoint now = steady_clock().now();
  Duration::rep left = 0;
  if (__builtin_sub_overflow(then.time_since_epoch().count(), clock.now().time_since_epoch().count(), &left))
    return then < TimePoint{} ? std::optional(now) : std::nullopt;
  if (left <= 0) return now;
  if (Duration(left) >= TimePoint::max() - now) return std::nullopt;
  return now + Duration(left);
}

}  // namespace

Call Engine::Impl::Facade::start(Request request, std::shared_ptr<Sink> sink) {
  if (!request.model.empty() && request.model != model) {
    Finish end = refusal(Error(Errc::invalid_argument, "this endpoint is the model \"" + model +
                                                           "\", the request asks for \"" + request.model + "\""),
                         request.model);
    end.id = std::move(request.id);
    GuardedSink(std::move(sink)).on_finish(std::move(end));
    return {};
  }
  request.model = model;
  return EndpointWrapper::start(std::move(request), std::move(sink));
}

std::vector<std::string> Engine::Impl::Facade::may_answer(std::string_view asked) const {
  return asked.empty() || asked == model ? std::vector<std::string>{model} : std::vector<std::string>();
}

// The questions of admission. On the driving thread, because policies need no locks; a policy that throws ends its own
// request.
void Engine::Impl::ask_policies(Sequence& s) {
  std::string asked;
  try {
    const RequestView view = request_view(s, clock.now());
    if (options.output) {
      asked = "output policy " + std::string(options.output->name());
      const std::uint32_t most = options.output->budget(view);
      if (most > 0 && most < s.budget) {
        s.budget = most;
        if (s.constraint) s.constraint->shorten(most);
        s.budget_reason = FinishReason::capped;
        s.capped_by = options.output->name();
      }
    }
    if (options.prefix_cache) {
      asked = "prefix cache policy " + std::string(options.prefix_cache->name());
      s.keep = options.prefix_cache->keep(view);
      s.salt = options.prefix_cache->salt(view);
    }
  } catch (...) {
    scheduler->end_with(s, caught_error(Errc::policy, asked));
  }
}

bool Engine::Impl::guarded_step() {
  try {
    return scheduler->step();
  } catch (...) {  // nothing inside is left half done that a request could go on from
    const Error error = caught_error(Errc::internal, "the engine's step");
    if (options.log) options.log(LogLevel::error, 0, error.message());
    scheduler->end_all(FinishReason::error, error);
    return true;
  }
}

bool Engine::Impl::step_once() {
  std::vector<std::shared_ptr<Sequence>> arrived;
  {
    const std::lock_guard lock(mutex);
    arrived.swap(inbox);
    if (std::exchange(clear_asked, false) && index) index->clear();
  }
  for (std::shared_ptr<Sequence>& s : arrived) {
    ask_policies(*s);
    try {
      scheduler->enqueue(s);
    } catch (...) {
      scheduler->end_with(*s, caught_error(Errc::internal, "the queue"));
    }
  }
  return guarded_step() || !arrived.empty();
}

// None = the wheel is the caller's; else why it is not.
std::optional<Progress> Engine::Impl::take_wheel(bool own_thread) {
  const std::lock_guard lock(mutex);
  if (stopping) return live == 0 ? Progress::idle : Progress::waiting;
  if (!errands.empty() && !own_thread) return Progress::worked;
  if (live == 0 && !clear_asked) return errands.empty() ? Progress::idle : Progress::waiting;
  if (driving || options.own_thread != own_thread) return Progress::elsewhere;
  driving = true;
  nudged = false;
  alarm.reset();
  watchers->answered();
  return std::nullopt;
}

bool Engine::Impl::turn() {
  std::list<std::function<void()>> left_to_do;
  bool any = false;
  {
    const Working working(*watchers, false);  // the scope below keeps what is to be done after the step
    StepScope scope;
    any = step_once();
    left_to_do.swap(scope.errands);
  }
  bool call = false;
  {
    const std::lock_guard lock(mutex);
    driving = false;
    errands.splice(errands.end(), left_to_do);
    moved = any;
    publish();
    call = !errands.empty() || (!options.own_thread && work_left());
  }
  changed.notify_all();
  watchers->step_ended();
  if (call) watchers->call_one();
  return any;
}

// Outside of any step, so that it holds nobody up: another thread may take the wheel meanwhile.
bool Engine::Impl::run_errand() {
  std::list<std::function<void()>> job;
  bool more = false;
  {
    const std::lock_guard lock(mutex);
    if (errands.empty()) return false;
    job.splice(job.end(), errands, errands.begin());
    more = !errands.empty() || (!options.own_thread && !driving && work_left());
  }
  const Working working(*watchers, false);
  if (more) watchers->call_one();
  try {
    job.front()();
  } catch (...) {
    if (options.log) options.log(LogLevel::error, 0, "work after a step failed: " + caught_text());
  }
  return true;
}

void Engine::Impl::nudge() {
  {
    const std::lock_guard lock(mutex);
    nudged = true;
    if (driving) return;  // the end of the step sees it
  }
  if (options.own_thread) {
    changed.notify_all();
  } else {
    watchers->call_one();
  }
}

// A thread that leaves may be the one that would have woken at the alarm, or done an errand.
void Engine::Impl::left() {
  if (!options.own_thread && watchers->empty()) return;
  bool call = false;
  {
    const std::lock_guard lock(mutex);
    call = options.own_thread ? !errands.empty() : !driving && live > 0 && alarm.has_value();
  }
  if (!call) return;
  if (options.own_thread) {
    changed.notify_all();
  } else {
    watchers->call_one();
  }
}

void Engine::Impl::run_own_thread() {
  const auto nobody_else = [this] { return !errands.empty() && watchers->empty(); };
  for (;;) {
    bool alone = false;
    {
      std::unique_lock lock(mutex);
      const auto ready = [&] { return stopping || clear_asked || work_left() || nobody_else(); };
      if (alarm) {
        changed.wait_until(lock, *alarm, ready);
      } else {
        changed.wait(lock, ready);
      }
      if (stopping) return;
      alone = nobody_else();
    }
    if (alone) run_errand();
    if (!take_wheel(true)) turn();
  }
}

// Nobody takes it while the lock is held.
void Engine::Impl::wait_for_wheel(std::unique_lock<std::mutex>& lock) {
  changed.wait(lock, [this] { return !driving; });
}

std::size_t Engine::Impl::cancel_everything() {
  const std::size_t before = scheduler->waiting() + scheduler->running() + inbox.size();
  std::list<std::function<void()>> left_to_do;
  {
    StepScope scope;
    for (std::shared_ptr<Sequence>& s : inbox) scheduler->enqueue(std::move(s));
    inbox.clear();
    scheduler->end_all(FinishReason::cancelled);
    left_to_do.swap(scope.errands);
  }
  {
    const std::lock_guard lock(mutex);
    errands.splice(errands.end(), left_to_do);
  }
  while (run_errand()) {
  }
  return before;
}

std::size_t Engine::Impl::shut_down(Engine& self, TimePoint deadline) {
  const std::lock_guard one_at_a_time(shutting_down);
  {
    const std::lock_guard lock(mutex);
    closing = true;
  }
  if (clock.now() < deadline) {
    const std::function<bool()> over = [&] {
      const std::lock_guard lock(mutex);
      return live == 0 || clock.now() >= deadline;
    };
    Waker waker;
    const std::atomic<bool> gone{false};
    lend_thread(self, gone,
                {.waker = waker,
                 .until = over,
                 .last = on_steady_clock(deadline, clock),
                 .every_step = true,
                 .leave_when_idle = true});
  }
  {
    std::unique_lock lock(mutex);
    stopping = true;
    changed.notify_all();
    wait_for_wheel(lock);
    driving = true;
  }
  if (own.joinable()) own.join();
  const std::size_t cancelled = cancel_everything();
  {
    const std::lock_guard lock(mutex);
    driving = false;
    publish();
  }
  changed.notify_all();
  watchers->wake_all();
  return cancelled;
}

void Engine::Impl::publish() {
  try {
    published = scheduler->stats();
  } catch (...) {  // no memory for the figures: those of the step before stay
  }
  const ArenaStats pages = arena->stats();
  published.kv_bytes_total = pages.total_bytes;
  published.kv_bytes_leased = pages.leased_bytes;
  published.kv_bytes_indexed = pages.indexed_bytes;
  live = scheduler->waiting() + scheduler->running() + inbox.size();
  alarm.reset();
  if (live == 0 || moved) return;
  if (const std::optional<TimePoint> deadline = scheduler->next_deadline()) alarm = on_steady_clock(*deadline, clock);
}

// Cached prefixes give way, so only what is leased is not free.
std::uint64_t Engine::Impl::free_tokens() const {
  const ModelSlot& slot = *slots.front();
  const std::size_t page = arena->page(slot.id).page_bytes;
  return std::uint64_t{(published.kv_bytes_total - published.kv_bytes_leased) / page} * slot.page_tokens;
}

}  // namespace frugal

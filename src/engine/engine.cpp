// The public Engine: intake on the callers' threads, and the rule that one thread drives at a time. What it is made of
// is set up in parts.cpp; the loop itself is the Scheduler's.
#include <frugal/engine/engine.hpp>

#include <frugal/core/error.hpp>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "core/caught.hpp"
#include "core/splitmix.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/refusal.hpp"
#include "endpoint/step_scope.hpp"
#include "engine/engine_impl.hpp"
#include "engine/intake.hpp"

namespace frugal {

Engine::Impl::Impl(Engine& self, EngineOptions o, std::shared_ptr<Watchers> w)
    : EngineParts(std::move(o)), watchers(std::move(w)) {
  for (const EngineModel& m : options.models) facades.push_back(std::make_unique<Facade>(self, m.name));
  publish();
}

expected<std::shared_ptr<Sequence>> Engine::Impl::make_sequence(RequestId id, Request request,
                                                                std::shared_ptr<Sink> sink) {
  ModelSlot* slot = find(request.model);
  if (slot == nullptr) return unexpected(Errc::invalid_argument, "no model named \"" + request.model + "\" here");
  if (expected<void> valid = validate(request, *slot); !valid) return unexpected(valid.error());
  if (!options.backend->healthy())
    return unexpected(Errc::device, "backend " + std::string(options.backend->name()) + " has failed for good");
  if (request.deferral.alpha > 0.0F && !options.backend->traits().deferral)
    return unexpected(Errc::unsupported, "deferral: backend " + std::string(options.backend->name()) +
                                             " has no rule by which drafts may stand that are not its own draws");
  const expected<AdapterId> adapter = find_adapter(request, *options.backend, *slot);
  if (!adapter) return unexpected(adapter.error());
  expected<std::vector<Token>> tokens = tokenize(request, *slot, clock);
  if (!tokens) return unexpected(tokens.error());
  auto s = std::make_shared<Sequence>(id, std::move(request), std::move(sink), *slot);
  s->adapter = *adapter;
  s->tokens = std::move(*tokens);
  s->prompt_tokens = static_cast<std::uint32_t>(s->tokens.size());
  if (options.speculation) {
    expected<std::vector<Token>> draft = tokenize_draft(s->request, *slot);
    if (!draft) return unexpected(draft.error());
    s->draft_text = std::move(*draft);
  }
  if (s->request.constraint) {
    expected<std::unique_ptr<Constrained>> constraint = Constrained::open(s->request.constraint, *slot);
    if (!constraint) return unexpected(constraint.error());
    s->constraint = std::move(*constraint);
  }
  s->seed = s->request.sampling.seed.value_or(splitmix64(options.seed ^ id.value));
  s->submitted = clock.now();
  const std::size_t room = std::min<std::size_t>(slot->model->spec().context, slot->most_pages * slot->page_tokens);
  s->budget = static_cast<std::uint32_t>(room - s->prompt_tokens);
  if (s->request.max_tokens > 0) s->budget = std::min(s->budget, s->request.max_tokens);
  if (s->request.close_when_short) {
    const expected<void> fits = s->constraint->close_within(s->budget);
    if (!fits) return unexpected(fits.error());
  }
  return s;
}

// Everything that may go wrong before a request is queued, as one error.
expected<std::shared_ptr<Sequence>> Engine::Impl::take_in(RequestId id, Request request,
                                                          const std::shared_ptr<Sink>& sink) {
  try {
    expected<std::shared_ptr<Sequence>> made = make_sequence(id, std::move(request), sink);
    if (!made) return made;
    try {
      sink->on_prompt((*made)->prompt());
    } catch (const Error&) {  // the sink declines
      throw;
    } catch (...) {  // as in on_delta: a reader that throws has given up
      (*made)->cancelled.store(true);
    }
    return made;
  } catch (...) {
    return unexpected(caught_error(Errc::internal, "the request could not be read"));
  }
}

expected<void> Engine::Impl::enqueue(std::shared_ptr<Sequence> sequence) {
  const std::lock_guard lock(mutex);
  if (closing) return unexpected(Errc::unavailable, "the engine has been shut down");
  if (live >= std::uint64_t{options.max_waiting} + options.max_running)
    return unexpected(Errc::busy, "the queue is full (EngineOptions::max_waiting)");
  inbox.push_back(std::move(sequence));
  ++live;
  return {};
}

void Engine::Impl::refuse(RequestId id, const std::string& model, std::string caller_id, const Error& error,
                          Sink& sink) {
  Finish end = refusal(error, model);
  end.ledger.attempts.push_back({.endpoint = options.name, .model = model, .tokens = TokenLedger{}});
  end.request = id;
  end.id = std::move(caller_id);
  if (options.log) options.log(LogLevel::info, id.value, "refused: " + error.message());
  if (options.observer) options.observer->on_refused(id, end);
  sink.on_finish(std::move(end));
}

Engine::Engine(EngineOptions options) {
  try {
    const std::shared_ptr<Watchers> shared = watchers().shared_from_this();
    impl_ = std::make_unique<Impl>(*this, std::move(options), shared);
    if (impl_->options.own_thread) impl_->own = std::thread([impl = impl_.get()] { impl->run_own_thread(); });
  } catch (...) {
    throw caught_error(Errc::unavailable, "the engine could not be set up");
  }
}

Engine::~Engine() {
  impl_->shut_down(*this, TimePoint::min());
  retire();
  for (const auto& facade : impl_->facades) facade->leave();
}

std::string_view Engine::name() const { return impl_->options.name; }

// Throws only before the sink has a Finish and the request its place in the queue.
Call Engine::Impl::begin(Engine& self, RequestId id, Request request, const std::shared_ptr<Sink>& sink) {
  const std::string model = request.model;
  std::string caller_id = request.id;
  if (options.observer) options.observer->on_submitted(id, caller_id);
  auto guarded = std::make_shared<GuardedSink>(sink, &options.log, id);
  expected<std::shared_ptr<Sequence>> made = take_in(id, std::move(request), guarded);
  std::function<void()> cancel;
  if (made)
    cancel = [weak = std::weak_ptr<Sequence>(*made), engine = EndpointRef(self)] {
      const auto s = weak.lock();
      if (!s || s->cancelled.exchange(true, std::memory_order_relaxed)) return;
      if (const EndpointRef::Visit visit = engine.enter()) visit->wake();  // it may sleep
    };
  const expected<void> queued = made ? enqueue(*made) : unexpected(made.error());
  if (!queued) {
    refuse(id, model, std::move(caller_id), queued.error(), *guarded);
    return Call({}, id);
  }
  nudge();
  return Call(std::move(cancel), id);
}

Call Engine::start(Request request, std::shared_ptr<Sink> sink) {
  const RequestId id{impl_->next_id.fetch_add(1)};
  try {
    return impl_->begin(*this, id, std::move(request), sink);
  } catch (...) {
    refuse_without_memory(std::move(sink), id);
    return Call({}, id);
  }
}

Progress Engine::step() {
  Impl& impl = *impl_;
  if (impl.run_errand()) return Progress::worked;
  if (const std::optional<Progress> busy = impl.take_wheel()) return *busy;
  return impl.turn() ? Progress::worked : Progress::waiting;
}

void Engine::unwatch(Waker& waker) {
  Endpoint::unwatch(waker);
  impl_->left();
}

void Engine::wake() { impl_->nudge(); }

std::optional<TimePoint> Engine::next_deadline() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->alarm;
}

Load Engine::load() const {
  const std::lock_guard lock(impl_->mutex);
  const EngineStats& stats = impl_->published;
  return {.running = stats.running,
          .waiting = stats.waiting + static_cast<std::uint32_t>(impl_->inbox.size()),
          .free_tokens = impl_->free_tokens(),
          .accepting = !impl_->closing};
}

std::vector<std::string> Engine::may_answer(std::string_view model) const {
  const ModelSlot* const slot = impl_->find(model);
  return slot != nullptr ? std::vector<std::string>{slot->name} : std::vector<std::string>();
}

std::size_t Engine::shutdown(TimePoint deadline) {
  refuse_inside_step("Engine::shutdown");
  return impl_->shut_down(*this, deadline);
}

Endpoint& Engine::endpoint(std::string_view model) {
  for (const auto& facade : impl_->facades)
    if (facade->name() == model) return *facade;
  throw Error(Errc::invalid_argument, "the engine has no model named \"" + std::string(model) + "\"");
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(impl_->mutex);
  EngineStats stats = impl_->published;
  stats.waiting += static_cast<std::uint32_t>(impl_->inbox.size());
  return stats;
}

void Engine::clear_prefixes() {
  Impl& impl = *impl_;
  {
    const std::lock_guard lock(impl.mutex);
    if (!impl.driving) {
      if (impl.index) impl.index->clear();
      impl.publish();
    } else {
      impl.clear_asked = true;  // done by the next step
    }
  }
  impl.nudge();
}

void Engine::check_integrity() const {
  Impl& impl = *impl_;
  refuse_inside_step("Engine::check_integrity");
  std::unique_lock lock(impl.mutex);
  impl.wait_for_wheel(lock);
  impl.scheduler->check_integrity();
}

}  // namespace frugal

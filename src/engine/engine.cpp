// The public Engine: intake on the callers' threads, and the rule that one thread drives at a time. What it is made of
// is set up in parts.cpp; the loop itself is the Scheduler's.
#include <frugal/engine/engine.hpp>

#include <frugal/core/error.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "core/caught.hpp"
#include "engine/intake.hpp"
#include "engine/parts.hpp"
#include "engine/views.hpp"

namespace frugal {

Observer::~Observer() = default;

namespace {

Finish refusal(const Error& error, const std::string& model) {
  Finish end;
  end.reason = FinishReason::refused;
  end.error = error;
  end.model = model;
  end.ledger.attempts.push_back({.endpoint = "engine", .model = model, .tokens = TokenLedger{}});
  return end;
}

// splitmix64 (Steele et al. 2014): spreads consecutive request numbers over all seeds.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

struct Engine::Impl : EngineParts {
  // One of the engine's models as an endpoint of its own.
  struct Facade final : Endpoint {
    Facade(Engine& e, std::string m) : engine(&e), model(std::move(m)) {}
    std::string_view name() const override { return model; }
    Call start(Request request, std::shared_ptr<Sink> sink) override {
      request.model = model;
      return engine->start(std::move(request), std::move(sink));
    }
    bool step() override { return engine->step(); }
    void drive(const std::function<bool()>& until) override { engine->drive(until); }
    Engine* engine;
    std::string model;
  };

  Impl(Engine& self, EngineOptions o) : EngineParts(std::move(o)) {
    for (const EngineModel& m : options.models) facades.push_back(std::make_unique<Facade>(self, m.name));
  }

  expected<std::shared_ptr<Sequence>> make_sequence(RequestId id, Request request, std::shared_ptr<Sink> sink);
  void ask_policies(Sequence& s);
  bool step_once();
  void become_idle();
  void run_own_thread();

  std::vector<std::unique_ptr<Facade>> facades;

  mutable std::mutex mutex;
  std::condition_variable changed;  // a step ended, a request arrived, or the engine stops
  std::vector<std::shared_ptr<Sequence>> inbox;
  EngineStats published;
  bool driving = false;
  bool stopping = false;
  bool clear_asked = false;
  std::uint64_t generation = 0;  // steps ended; under mutex
  std::atomic<std::uint64_t> live{0};
  std::atomic<std::uint64_t> next_id{1};
  std::thread own;
};

expected<std::shared_ptr<Sequence>> Engine::Impl::make_sequence(RequestId id, Request request,
                                                                std::shared_ptr<Sink> sink) {
  ModelSlot* slot = find(request.model);
  if (slot == nullptr) return unexpected(Errc::invalid_argument, "no model named \"" + request.model + "\" here");
  if (expected<void> valid = validate(request, *slot); !valid) return unexpected(valid.error());
  const expected<AdapterId> adapter = find_adapter(request, *options.backend, *slot);
  if (!adapter) return unexpected(adapter.error());
  expected<std::vector<Token>> tokens = tokenize(request, *slot);
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
  s->seed = s->request.sampling.seed.value_or(mixed(options.seed ^ id.value));
  s->submitted = clock.now();
  const std::size_t room = std::min<std::size_t>(slot->model->spec().context, slot->most_pages * slot->page_tokens);
  s->budget = static_cast<std::uint32_t>(room - s->prompt_tokens);
  if (s->request.max_tokens > 0) s->budget = std::min(s->budget, s->request.max_tokens);
  return s;
}

// The questions of admission. On the driving thread, because policies need no locks; a policy that throws ends its own
// request.
void Engine::Impl::ask_policies(Sequence& s) {
  const RequestView view = request_view(s, clock.now());
  std::string asked;
  try {
    if (options.output) {
      asked = "output policy " + std::string(options.output->name());
      const std::uint32_t most = options.output->budget(view);
      if (most > 0 && most < s.budget) {
        s.budget = most;
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

bool Engine::Impl::step_once() {
  std::vector<std::shared_ptr<Sequence>> arrived;
  {
    const std::lock_guard lock(mutex);
    arrived.swap(inbox);
    if (std::exchange(clear_asked, false) && index) index->clear();
  }
  for (auto& s : arrived) {
    ask_policies(*s);
    scheduler->enqueue(std::move(s));
  }
  const bool moved = scheduler->step();
  const std::lock_guard lock(mutex);
  try {
    published = scheduler->stats();
  } catch (...) {  // no memory for the figures: those of the step before stay
  }
  const ArenaStats pages = arena->stats();
  published.kv_bytes_total = pages.total_bytes;
  published.kv_bytes_leased = pages.leased_bytes;
  published.kv_bytes_indexed = pages.indexed_bytes;
  live.store(scheduler->waiting() + scheduler->running() + inbox.size());
  return moved || !arrived.empty();
}

// Ends one turn at the wheel and wakes those who wait for it.
void Engine::Impl::become_idle() {
  {
    const std::lock_guard lock(mutex);
    driving = false;
    ++generation;
  }
  changed.notify_all();
}

void Engine::Impl::run_own_thread() {
  for (;;) {
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return stopping || live.load() > 0; });
      if (stopping) return;
    }
    const bool moved = step_once();
    std::unique_lock lock(mutex);
    ++generation;
    changed.notify_all();
    if (!moved) changed.wait_for(lock, std::chrono::milliseconds(1));  // every reader is behind
  }
}

Engine::Engine(EngineOptions options) : impl_(std::make_unique<Impl>(*this, std::move(options))) {
  if (impl_->options.own_thread) {
    impl_->driving = true;
    impl_->own = std::thread([this] { impl_->run_own_thread(); });
  }
}

Engine::~Engine() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->changed.notify_all();
  if (impl_->own.joinable()) impl_->own.join();
  for (auto& s : impl_->inbox) impl_->scheduler->enqueue(std::move(s));
  impl_->scheduler->end_all(FinishReason::cancelled);
}

std::string_view Engine::name() const { return "engine"; }

Call Engine::start(Request request, std::shared_ptr<Sink> sink) {
  Impl& impl = *impl_;
  const RequestId id{impl.next_id.fetch_add(1)};
  const std::string model = request.model;
  expected<std::shared_ptr<Sequence>> made = impl.make_sequence(id, std::move(request), sink);
  if (!made) {
    sink->on_finish(refusal(made.error(), model));
    return {};
  }
  std::shared_ptr<Sequence> sequence = *made;
  try {
    sink->on_prompt(sequence->prompt());
  } catch (...) {  // as in on_delta: a reader that throws has given up
    sequence->cancelled.store(true);
  }
  bool full = false;
  {
    const std::lock_guard lock(impl.mutex);
    full = impl.live.load() >= std::uint64_t{impl.options.max_waiting} + impl.options.max_running;
    if (!full) {
      impl.inbox.push_back(sequence);
      impl.live.fetch_add(1);
    }
  }
  if (full) {
    sink->on_finish(refusal(Error(Errc::busy, "the queue is full (EngineOptions::max_waiting)"), model));
    return {};
  }
  impl.changed.notify_all();
  return Call([weak = std::weak_ptr<Sequence>(sequence)] {
    if (const auto s = weak.lock()) s->cancelled.store(true, std::memory_order_relaxed);
  });
}

void Engine::drive(const std::function<bool()>& until) {
  Impl& impl = *impl_;
  for (;;) {
    std::unique_lock lock(impl.mutex);
    const std::uint64_t seen = impl.generation;
    lock.unlock();
    if (until()) return;
    lock.lock();
    if (impl.driving) {
      impl.changed.wait_for(lock, std::chrono::milliseconds(20),
                            [&] { return !impl.driving || impl.generation != seen; });
      if (impl.live.load() == 0) return;
      continue;
    }
    impl.driving = true;
    lock.unlock();
    const bool moved = impl.step_once();
    impl.become_idle();
    if (impl.live.load() == 0) return;
    if (!moved) std::this_thread::sleep_for(std::chrono::microseconds(200));  // every reader is behind
  }
}

bool Engine::step() {
  Impl& impl = *impl_;
  {
    const std::lock_guard lock(impl.mutex);
    if (impl.driving || impl.live.load() == 0) return false;
    impl.driving = true;
  }
  const bool moved = impl.step_once();
  impl.become_idle();
  return moved;
}

Endpoint& Engine::endpoint(std::string_view model) {
  for (const auto& facade : impl_->facades)
    if (facade->model == model) return *facade;
  throw Error(Errc::invalid_argument, "the engine has no model named \"" + std::string(model) + "\"");
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->published;
}

void Engine::clear_prefixes() {
  Impl& impl = *impl_;
  std::unique_lock lock(impl.mutex);
  impl.clear_asked = true;
  if (impl.driving) return;  // done by the next step
  if (impl.index) impl.index->clear();
  impl.clear_asked = false;
}

void Engine::check_integrity() const {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->driving) throw Error(Errc::invalid_argument, "check_integrity while another thread drives the engine");
  impl_->scheduler->check_integrity();
}

}  // namespace frugal

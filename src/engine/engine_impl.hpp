// Engine::Impl: the engine's parts, its queue, and the wheel: the right to make a step, which one thread has at a time.
#pragma once

#include <frugal/core/expected.hpp>
#include <frugal/endpoint/wrapper.hpp>
#include <frugal/engine/engine.hpp>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/parts.hpp"

namespace frugal {

struct Engine::Impl : EngineParts {
  /// One of the engine's models as an endpoint of its own.
  struct Facade final : EndpointWrapper {
    Facade(Engine& engine, std::string m) : EndpointWrapper(engine, m), model(std::move(m)) {}
    ~Facade() override { leave(); }
    using EndpointWrapper::leave;
    Call start(Request request, std::shared_ptr<Sink> sink) override;
    std::vector<std::string> may_answer(std::string_view asked) const override;
    std::string model;
  };

  Impl(Engine& self, EngineOptions o, std::shared_ptr<Watchers> w);

  // engine.cpp: from a request to a sequence in the inbox; on the callers' threads
  expected<std::shared_ptr<Sequence>> make_sequence(RequestId id, Request request, std::shared_ptr<Sink> sink);
  expected<std::shared_ptr<Sequence>> take_in(RequestId id, Request request, const std::shared_ptr<Sink>& sink);
  Call begin(Engine& self, RequestId id, Request request, const std::shared_ptr<Sink>& sink);
  expected<void> enqueue(std::shared_ptr<Sequence> sequence);
  void refuse(RequestId id, const std::string& model, std::string caller_id, const Error& error, Sink& sink);

  // wheel.cpp: who drives
  void ask_policies(Sequence& s);
  bool step_once();
  bool guarded_step();
  std::optional<Progress> take_wheel(bool own_thread = false);
  /// One step by the thread that has the wheel, which it gives back. True where anything moved.
  bool turn();
  bool run_errand();
  void nudge();
  void left();
  void run_own_thread();
  void wait_for_wheel(std::unique_lock<std::mutex>& lock);
  std::size_t shut_down(Engine& self, TimePoint deadline);
  std::size_t cancel_everything();
  // under the mutex
  void publish();
  std::uint64_t free_tokens() const;
  bool work_left() const { return live > 0 && (moved || nudged || !inbox.empty()); }

  std::vector<std::unique_ptr<Facade>> facades;
  std::shared_ptr<Watchers> watchers;

  mutable std::mutex mutex;         // guards all that follows
  std::condition_variable changed;  // the wheel is free, or the engine's own thread has something to look at
  std::vector<std::shared_ptr<Sequence>> inbox;
  std::list<std::function<void()>> errands;  // what steps left to be done outside them
  EngineStats published;
  std::optional<TimePoint> alarm;  // when somebody has to look although nothing moves; on the steady clock
  std::uint64_t live = 0;          // requests without a Finish
  bool driving = false;            // somebody has the wheel
  bool moved = false;              // in the last step
  bool nudged = false;             // something happened since the last step began
  bool closing = false;            // nobody comes in
  bool stopping = false;           // nobody takes the wheel any more
  bool clear_asked = false;
  std::atomic<std::uint64_t> next_id{1};
  std::mutex shutting_down;  // one shutdown at a time
  std::thread own;
};

}  // namespace frugal

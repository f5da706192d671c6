// The host's observer, in a coat that lets nothing it throws into the engine's step.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/engine/observer.hpp>

#include <memory>
#include <string>
#include <utility>

#include "core/caught.hpp"
#include "core/guarded.hpp"

namespace frugal {

/// What an observer throws is logged and goes no further.
class GuardedObserver final : public Observer {
 public:
  GuardedObserver(std::shared_ptr<Observer> observer, LogSink log)
      : observer_(std::move(observer)), log_(std::move(log)) {}
  void on_submitted(RequestId id, std::string_view caller_id) override {
    guard([&] { observer_->on_submitted(id, caller_id); });
  }
  void on_refused(RequestId id, const Finish& finish) override {
    guard([&] { observer_->on_refused(id, finish); });
  }
  void on_admitted(RequestId id, std::uint32_t prompt, std::uint32_t cached) override {
    guard([&] { observer_->on_admitted(id, prompt, cached); });
  }
  void on_preempted(RequestId id) override {
    guard([&] { observer_->on_preempted(id); });
  }
  void on_step(const StepReport& report) override {
    guard([&] { observer_->on_step(report); });
  }
  void on_draft_pass(ModelId model, std::uint32_t rows, Duration forward) override {
    guard([&] { observer_->on_draft_pass(model, rows, forward); });
  }
  void on_finished(RequestId id, const Finish& finish) override {
    guard([&] { observer_->on_finished(id, finish); });
  }

 private:
  template <class Hook>
  void guard(Hook hook) {
    try {
      hook();
    } catch (...) {
      if (log_) log_(LogLevel::warning, 0, "the observer threw: " + caught_text());
    }
  }
  std::shared_ptr<Observer> observer_;
  LogSink log_;
};

}  // namespace frugal

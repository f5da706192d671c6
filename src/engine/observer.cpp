#include <frugal/engine/observer.hpp>

#include <frugal/core/error.hpp>

#include <algorithm>
#include <exception>
#include <utility>

namespace frugal {

Observer::~Observer() = default;

namespace {

class AllOf final : public Observer {
 public:
  explicit AllOf(std::vector<std::shared_ptr<Observer>> observers) : observers_(std::move(observers)) {}
  void on_submitted(RequestId id, std::string_view caller_id) override {
    tell([&](Observer& o) { o.on_submitted(id, caller_id); });
  }
  void on_refused(RequestId id, const Finish& finish) override {
    tell([&](Observer& o) { o.on_refused(id, finish); });
  }
  void on_admitted(RequestId id, std::uint32_t prompt, std::uint32_t cached) override {
    tell([&](Observer& o) { o.on_admitted(id, prompt, cached); });
  }
  void on_preempted(RequestId id) override {
    tell([&](Observer& o) { o.on_preempted(id); });
  }
  void on_step(const StepReport& report) override {
    tell([&](Observer& o) { o.on_step(report); });
  }
  void on_draft_pass(ModelId model, std::uint32_t rows, Duration forward) override {
    tell([&](Observer& o) { o.on_draft_pass(model, rows, forward); });
  }
  void on_finished(RequestId id, const Finish& finish) override {
    tell([&](Observer& o) { o.on_finished(id, finish); });
  }

 private:
  // The first one's exception goes on when all have been told; the engine logs it.
  template <class Hook>
  void tell(Hook hook) {
    std::exception_ptr first;
    for (const std::shared_ptr<Observer>& o : observers_) {
      try {
        hook(*o);
      } catch (...) {
        if (!first) first = std::current_exception();
      }
    }
    if (first) std::rethrow_exception(first);
  }
  std::vector<std::shared_ptr<Observer>> observers_;
};

}  // namespace

std::shared_ptr<Observer> all_of(std::vector<std::shared_ptr<Observer>> observers) {
  if (std::count(observers.begin(), observers.end(), nullptr) > 0)
    throw Error(Errc::invalid_argument, "all_of: one of the observers is null");
  return std::make_shared<AllOf>(std::move(observers));
}

}  // namespace frugal

#include "engine/scheduler.hpp"

#include "core/caught.hpp"
#include "engine/say.hpp"

namespace frugal {

Scheduler::Scheduler(const EngineOptions& options, const Clock& clock, std::vector<std::unique_ptr<ModelSlot>>& slots,
                     KvStore& store, Speculation* speculation)
    : options_(options),
      slots_(slots),
      store_(store),
      speculation_(speculation),
      endings_({options, clock, store, speculation, stats_}),
      admission_({options, clock, store, speculation, stats_}, endings_),
      pass_({options, clock, store, speculation, stats_}, admission_, endings_) {}

bool Scheduler::step() noexcept {
  ++stats_.steps;
  if (speculation_ != nullptr) speculation_->begin_step(stats_.steps);
  bool moved = admission_.reap();
  admission_.expire_prefixes();
  try {
    moved |= admission_.admit();
  } catch (...) {  // nobody has moved: again in the next step
    say(options_.log, LogLevel::error, {}, [] { return "admission: " + caught_text(); });
    moved = true;
  }
  for (const auto& slot : slots_) moved |= pass_.run(*slot);
  admission_.sweep();
  return moved;
}

void Scheduler::check_integrity() const {
  store_.index != nullptr ? store_.index->check_integrity() : store_.arena.check_integrity();
  admission_.check_integrity();
}

void Scheduler::end_all(FinishReason reason, const std::optional<Error>& error) {
  const auto end = [&](const std::shared_ptr<Sequence>& s) { endings_.finish(*s, reason, {}, error); };
  for (const auto& s : admission_.running()) end(s);
  admission_.each_waiting(end);
  admission_.sweep();
}

std::optional<TimePoint> Scheduler::next_deadline() const {
  std::optional<TimePoint> first;
  const auto look = [&first](const std::shared_ptr<Sequence>& s) {
    if (s->request.deadline && (!first || *s->request.deadline < *first)) first = s->request.deadline;
  };
  for (const auto& s : admission_.running()) look(s);
  admission_.each_waiting(look);
  return first;
}

}  // namespace frugal

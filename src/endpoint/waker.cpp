#include <frugal/endpoint/waker.hpp>

#include <algorithm>
#include <utility>

#include "endpoint/step_scope.hpp"

namespace frugal {

Waker::~Waker() {
  while (!places_.empty()) std::shared_ptr<Watchers>(places_.back())->remove(*this);
}

void Waker::wake() {
  count_.fetch_add(1);
  if (hook_) {
    try {
      hook_();
    } catch (...) {  // a hook has nobody to tell
    }
    return;
  }
  // Either the sleeper's look at count_ sees the number above, or this look sees that it sleeps.
  if (state_.load() != State::asleep) return;
  const std::lock_guard lock(mutex_);
  woken_.notify_one();
}

bool Waker::wait(std::uint64_t seen, std::optional<TimePoint> until) {
  const auto changed = [&] { return count_.load() != seen; };
  std::unique_lock lock(mutex_);
  state_.store(State::asleep);
  bool woken = true;
  if (until) {
    woken = woken_.wait_until(lock, *until, changed);
  } else {
    woken_.wait(lock, changed);
  }
  state_.store(State::looking);
  return woken;
}

void Watchers::add(Waker& waker, bool every_step) {
  waker.places_.push_back(shared_from_this());
  const std::lock_guard lock(mutex_);
  entries_.push_back({&waker, every_step});
  size_.store(entries_.size());
  if (every_step) eager_.fetch_add(1);
}

void Watchers::remove(Waker& waker) {
  const auto place = std::find_if(waker.places_.begin(), waker.places_.end(),
                                  [this](const std::shared_ptr<Watchers>& p) { return p.get() == this; });
  if (place == waker.places_.end()) return;
  const std::shared_ptr<Watchers> self = std::move(*place);
  waker.places_.erase(place);
  const std::lock_guard lock(mutex_);
  const auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.waker == &waker; });
  if (entry->every_step) eager_.fetch_sub(1);
  entries_.erase(entry);
  size_.store(entries_.size());
  if (called_.load()) wake_best();  // the one who leaves may be the one who was called
}

void Watchers::call_one() {
  called_.store(true);
  if (size_.load() == 0) return;
  const std::lock_guard lock(mutex_);
  wake_best();
}

// Under the lock. Best is who looks in any case, then who sleeps; one that works elsewhere will come late.
bool Watchers::wake_best() {
  const auto rank = [](const Waker& w) {
    if (w.hook_) return 1;
    switch (w.state_.load()) {
      case Waker::State::looking:
        return 0;
      case Waker::State::asleep:
        return 1;
      case Waker::State::working:
        break;
    }
    return 2;
  };
  Waker* best = nullptr;
  int best_rank = 3;
  for (const Entry& e : entries_) {
    const int r = rank(*e.waker);
    if (r < best_rank) {
      best = e.waker;
      best_rank = r;
    }
    if (best_rank == 0) break;
  }
  if (best == nullptr) return false;
  best->wake();
  return true;
}

void Watchers::step_ended() {
  if (eager_.load() == 0) return;
  const std::lock_guard lock(mutex_);
  for (const Entry& e : entries_)
    if (e.every_step) e.waker->wake();
}

void Watchers::wake_all() {
  const std::lock_guard lock(mutex_);
  for (const Entry& e : entries_) e.waker->wake();
}

Working::Working(Watchers& place, bool callbacks) : waker_(waker_of_this_thread()) {
  if (callbacks) scope_ = std::make_unique<StepScope>();
  if (waker_ == nullptr) return;
  waker_->state_.store(Waker::State::working);
  for (const std::shared_ptr<Watchers>& other : waker_->places_)
    if (other.get() != &place && other->called()) other->call_one();
}

Working::~Working() {
  if (scope_) {
    std::list<std::function<void()>> errands = std::move(scope_->errands);
    scope_.reset();
    for (const std::function<void()>& errand : errands) try {
        errand();
      } catch (...) {  // a step has nobody to tell
      }
  }
  if (waker_ != nullptr) waker_->state_.store(Waker::State::looking);
}

}  // namespace frugal

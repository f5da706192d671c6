// The part of Traffic that sends a second try beside a slow one and keeps the one that answers first.
#include <utility>

#include "http/traffic.hpp"

namespace frugal::http {

void Traffic::hedge(const Held& slow, TimePoint now) {
  slow->hedge_after.reset();
  const bool room = running_.size() < options_.max_running &&
                    (!options_.obey_rate_limits || limits_.open_at(slow->need(), now) <= now);
  if (slow->answered() || slow->handle() == nullptr || !slow->rival.expired() || !room) return;
  {
    const std::lock_guard lock(mutex_);
    if (!hedging_.affords(stats_.hedges, stats_.requests)) return;
    ++stats_.hedges;
  }
  Held second;
  try {
    second = Transfer::beside(*slow);
  } catch (...) {  // no memory: the first one goes on alone
    return;
  }
  second->rival = slow;
  slow->rival = second;
  begin(second, now);
}

// In curl's callback, so nothing is taken off the wire here.
void Traffic::first_byte(const Held& transfer) {
  if (const Held rival = transfer->rival.lock()) {
    rival->lost = true;
    losers_ = true;
  }
  watch_clock(transfer);
  hedging_.first_byte_after(transfer->first_byte_wait());
}

void Traffic::drop_losers() noexcept {
  while (std::exchange(losers_, false)) {
    for (const auto& [handle, t] : running_) {
      if (!t->lost) continue;
      losers_ = true;  // look again, for what is dropped leaves the list
      drop(Held(t), true);
      break;
    }
  }
}

void Traffic::drop(const Held& loser, bool paid) noexcept {
  if (const Held winner = loser->rival.lock()) {
    winner->rival.reset();
    try {
      if (paid) winner->also = Attempt{.endpoint = options_.name, .accepted = false};
    } catch (...) {  // no memory for the name
    }
  }
  loser->rival.reset();
  loser->retire();
  leave_wire(loser);
  std::erase(waiting_, loser);
  alarms_.erase(loser);
  const std::lock_guard lock(mutex_);
  stats_.bytes_in += loser->bytes_in();
}

}  // namespace frugal::http

// Pages short is never an error: a request waits, idle prefixes are evicted, and as a last resort the sequence that goes
// last gives its pages back and starts over from what the prefix index kept of it.
#include "engine/admission.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "core/caught.hpp"
#include "engine/say.hpp"

namespace frugal {
namespace {

std::size_t common_prefix(std::span<const Token> a, std::span<const Token> b) {
  const std::size_t most = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
}

}  // namespace

void Admission::enqueue(const Held& s) noexcept {
  if (s->finished) return;
  try {
    s->group = &tenants_.arrive(s->priority(), s->request.tenant, clock_.now());
    waiting_.add(s);
  } catch (...) {
    endings_.fail(*s, "the queue");
    if (s->group != nullptr) tenants_.leave(*s->group);
  }
}

bool Admission::reap() noexcept {
  bool any = false;
  const TimePoint now = clock_.now();
  const auto look = [&](const Held& s) {
    if (s->finished) return;
    if (s->cancelled.load(std::memory_order_relaxed))
      endings_.finish(*s, FinishReason::cancelled);
    else if (s->request.deadline && now >= *s->request.deadline)
      endings_.finish(*s, FinishReason::deadline);
    any |= s->finished;
  };
  for (const Held& s : running_) look(s);
  waiting_.each(look);
  if (any) sweep();
  return any;
}

// Looked at a few times within the shortest keep, not at every step: a look costs a walk over the ends of all prefixes.
void Admission::expire_prefixes() noexcept {
  if (store_.shortest_keep == Duration::max()) return;
  const TimePoint now = clock_.now();
  if (now < next_expiry_) return;
  try {
    store_.index->expire();
  } catch (...) {
    say(options_.log, LogLevel::warning, {}, [] { return "old prefixes stay for now: " + caught_text(); });
  }
  next_expiry_ = now + store_.shortest_keep / 8;
}

std::vector<Admission::Held> Admission::active() const {
  std::vector<Held> active;
  for (const Held& s : running_) {
    if (active.size() >= options_.max_running) break;
    if (!s->finished && !s->sink->full()) active.push_back(s);
  }
  return active;
}

// A place is free, or taken by one of lower priority, which then waits its turn with its pages.
bool Admission::has_place(const Sequence& s) const {
  const auto taken = std::count_if(running_.begin(), running_.end(), [&](const Held& r) {
    const bool before = r->urgent || (!s.urgent && r->priority() >= s.priority());
    return before && !r->finished && !r->sink->full();
  });
  return static_cast<std::uint64_t>(taken) < options_.max_running;
}

// A group that got nothing for longest_wait has its oldest sequence served first: one that runs without a place, else
// the first in its line.
void Admission::mark_urgent() {
  const TimePoint now = clock_.now();
  if (now < next_urgent_) return;
  next_urgent_ = now + options_.longest_wait / 8;
  const auto look = [&](const Held& s) {
    if (now - s->group->last_served < options_.longest_wait) return;
    s->urgent = true;
    s->group->last_served = now;  // one at a time
  };
  for (const Held& s : running_)
    if (!s->finished && !s->sink->full()) look(s);
  waiting_.each_first(look);
  std::stable_sort(running_.begin(), running_.end(), [](const Held& a, const Held& b) { return a->goes_before(*b); });
}

// Who is next and lacks pages holds the line up, or it would starve.
bool Admission::admit() {
  if (running_.empty() && waiting_.empty()) return false;
  bool any = false;
  mark_urgent();
  waiting_.recall();
  while (const Held s = waiting_.next()) {
    if (!has_place(*s)) break;
    if (running_.size() == running_.capacity()) running_.reserve(2 * running_.size() + 8);  // join() cannot fail
    ++stats_.admission_looks;
    const Outcome outcome = try_admit(s);
    if (outcome == Outcome::no_pages) break;
    if (outcome == Outcome::aside) continue;
    any = true;
    waiting_.remove(s);
    outcome == Outcome::admitted ? join(s) : say_goodbye(*s);
  }
  return any;
}

void Admission::join(const Held& s) noexcept {
  const auto place = std::upper_bound(running_.begin(), running_.end(), s,
                                      [](const Held& a, const Held& b) { return a->goes_before(*b); });
  running_.insert(place, s);
}

// A running sequence is computing pages that this one could read: worth waiting for, unless it waits for its reader.
bool Admission::wait_for_prefix(const Held& held) {
  const Sequence& s = *held;
  const PrefixName name = s.prefix();
  if (store_.index == nullptr || name.keep <= Duration::zero()) return false;
  const std::span<const Token> mine(s.tokens);
  const std::size_t have = store_.index->longest(name.space, s.slot->id, mine.first(mine.size() - 1));
  const std::size_t block = store_.arena.plan().block_tokens();
  for (const Held& r : running_) {
    if (r->finished || r->slot != s.slot || r->lane.kv >= r->prompt_tokens || r->sink->full()) continue;
    if (r->salt != s.salt || r->adapter != s.adapter || !r->request.use_prefix_cache || r->keep <= Duration::zero())
      continue;
    const std::size_t shared = common_prefix(mine, r->prompt()) / block * block;
    if (shared <= have || shared <= r->lane.kv) continue;
    waiting_.follow(held, r, static_cast<std::uint32_t>(shared));
    return true;
  }
  return false;
}

Admission::Outcome Admission::try_admit(const Held& held) {
  Sequence& s = *held;
  if (s.finished) return Outcome::ended;
  try {
    if (s.sink->full()) {
      waiting_.await_reader(held);
      return Outcome::aside;
    }
    if (wait_for_prefix(held)) return Outcome::aside;
    if (!adopt_prefix(s)) return Outcome::no_pages;
    take_seat(s);
  } catch (...) {
    endings_.fail(s, "admission");
    return Outcome::ended;
  }
  if (!s.was_admitted) {
    charge(s, s.missing(), clock_.now());
    s.was_admitted = true;
    s.admission = ++admissions_;
    s.admitted = clock_.now();
    if (options_.observer)
      options_.observer->on_admitted(s.id, s.prompt_tokens, static_cast<std::uint32_t>(s.account.usage().cached_read));
  }
  return Outcome::admitted;
}

bool Admission::adopt_prefix(Sequence& s) {
  const auto tokens = static_cast<std::uint32_t>(s.tokens.size());
  if (!s.lane.adopt(store_, s.slot->id, s.prefix(), s.tokens, [&] { return reserve(s, tokens); })) return false;
  s.account.found(s.lane.kv, s.prompt_tokens);
  return true;
}

bool Admission::reserve(Sequence& s, std::uint32_t tokens) {
  while (!s.lane.grow(store_, tokens)) {
    if (speculation_ != nullptr && speculation_->release_pages(running_)) continue;
    const Held victim = victim_for(s);
    if (!victim) return false;
    preempt(victim);
  }
  return true;
}

// A running sequence may take from any that goes after it; one that waits may only take from those of lower priority and
// from those whose reader is behind.
Admission::Held Admission::victim_for(const Sequence& s) const {
  const bool runs = std::any_of(running_.begin(), running_.end(), [&](const Held& r) { return r.get() == &s; });
  for (auto r = running_.rbegin(); r != running_.rend(); ++r) {
    if (r->get() == &s) break;
    if ((*r)->finished || !(*r)->lane.pages) continue;
    const bool below = !(*r)->urgent && (s.urgent || (*r)->priority() < s.priority());
    if (runs || below || (*r)->sink->full()) return *r;
  }
  return nullptr;
}

void Admission::preempt(const Held& victim) {
  waiting_.add(victim);  // the one thing that may fail
  endings_.offer(*victim);
  if (speculation_ != nullptr) speculation_->leave(*victim);
  victim->lane.close();
  leave_seat(*victim);
  std::erase(running_, victim);
  ++stats_.preemptions;
  if (options_.observer) options_.observer->on_preempted(victim->id);
}

// The lowest free number: small as long as readers keep up.
void Admission::take_seat(Sequence& s) {
  const auto free = std::find(seats_.begin(), seats_.end(), false);
  const auto seat = static_cast<std::uint32_t>(free - seats_.begin());
  if (free == seats_.end()) seats_.push_back(false);
  seats_[seat] = true;
  s.seat = seat;
}

void Admission::leave_seat(Sequence& s) noexcept {
  if (s.seat) seats_[*s.seat] = false;
  s.seat.reset();
}

void Admission::say_goodbye(Sequence& s) noexcept {
  leave_seat(s);
  tenants_.leave(*s.group);
  if (s.was_admitted && speculation_ != nullptr) speculation_->finished(s, s.reason);
}

void Admission::sweep() noexcept {
  const auto gone = [&](const Held& s) {
    if (s->finished) say_goodbye(*s);
  };
  for (const Held& s : running_) gone(s);
  std::erase_if(running_, [](const Held& s) { return s->finished; });
  waiting_.each(gone);
  waiting_.sweep();
  stats_.running = static_cast<std::uint32_t>(running_.size());
  stats_.waiting = static_cast<std::uint32_t>(waiting_.size());
}

void Admission::check_integrity() const {
  for (const Held& s : running_) {
    if (!s->lane.pages || s->lane.pages->tokens() < s->lane.kv)
      throw Error(Errc::internal, "sequence " + std::to_string(s->id.value) + " has fewer pages than tokens");
    if (speculation_ != nullptr) speculation_->check_integrity(*s);
  }
  waiting_.each([](const Held& s) {
    if (s->lane.pages) throw Error(Errc::internal, "a waiting sequence holds pages");
  });
}

}  // namespace frugal

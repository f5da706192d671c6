// Who comes in, who has to leave. Pages short is never an error: a request waits, idle prefixes are evicted, and as a
// last resort the youngest sequence gives its pages back and starts over from what the prefix index kept of it.
#include <algorithm>
#include <string>
#include <utility>

#include "core/caught.hpp"
#include "engine/say.hpp"
#include "engine/scheduler.hpp"
#include "engine/views.hpp"

namespace frugal {
namespace {

std::size_t common_prefix(std::span<const Token> a, std::span<const Token> b) {
  const std::size_t most = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
}

}  // namespace

PrefixSpace Scheduler::space_of(const Sequence& s) { return {s.slot->tokenizer, s.salt, s.adapter}; }

// Requests that were given up or are past their time leave first, wherever they stand.
bool Scheduler::reap() {
  bool any = false;
  const TimePoint now = clock_.now();
  const auto look = [&](Sequence& s) {
    if (s.finished) return;
    if (s.cancelled.load(std::memory_order_relaxed))
      finish(s, FinishReason::cancelled);
    else if (s.request.deadline && now >= *s.request.deadline)
      finish(s, FinishReason::deadline);
    any |= s.finished;
  };
  for (const Held& s : running_) look(*s);
  for (const Held& s : waiting_) look(*s);
  if (any) sweep();
  return any;
}

// What has been unused for longer than its keep goes before anyone may be admitted to it. Looked at a few times within
// the shortest keep, not at every step: a look costs a walk over the ends of all prefixes.
void Scheduler::expire_prefixes() {
  if (shortest_keep_ == Duration::max()) return;
  const TimePoint now = clock_.now();
  if (now < next_expiry_) return;
  try {
    index_->expire();
  } catch (...) {
    say(options_.log, LogLevel::warning, {}, [] { return "old prefixes stay for now: " + caught_text(); });
  }
  next_expiry_ = now + shortest_keep_ / 8;
}

// Sequences whose reader keeps up. One that is behind keeps its pages and leaves its place to others.
std::size_t Scheduler::active() const {
  return static_cast<std::size_t>(
      std::count_if(running_.begin(), running_.end(), [](const Held& s) { return !s->finished && !s->sink->full(); }));
}

// In order of arrival. A request whose prefix is being computed right now lets others pass; one that lacks pages does
// not, or it would starve.
bool Scheduler::admit() {
  bool any = false;
  std::size_t places = options_.max_running - std::min<std::size_t>(options_.max_running, active());
  for (std::size_t i = 0; i < waiting_.size() && places > 0;) {
    const Held s = waiting_[i];
    if (running_.size() == running_.capacity()) running_.reserve(2 * running_.size() + 8);  // may fail here, not below
    const Admission result = try_admit(s);
    if (result == Admission::no_pages) break;
    if (result == Admission::later) {
      ++i;
      continue;
    }
    any = true;
    std::erase(waiting_, s);  // it may have moved: making room can send others back here, to the front
    if (result != Admission::admitted) continue;
    running_.push_back(s);
    --places;
  }
  return any;
}

// A running sequence is computing pages that this one could read: worth waiting for, unless it waits for its reader.
bool Scheduler::prefix_in_flight(const Sequence& s) const {
  if (!shares_prefixes(s)) return false;
  const std::span<const Token> mine(s.tokens);
  const std::size_t have = index_->longest(space_of(s), s.slot->id, mine.first(mine.size() - 1));
  return std::any_of(running_.begin(), running_.end(), [&](const Held& r) {
    if (r->slot != s.slot || r->salt != s.salt || r->adapter != s.adapter || !shares_prefixes(*r) || r->finished ||
        r->kv >= r->prompt_tokens || r->sink->full())
      return false;
    const std::size_t block = arena_.plan().block_tokens();
    const std::size_t shared = common_prefix(mine, r->prompt()) / block * block;
    return shared > have && shared > r->kv;
  });
}

Scheduler::Admission Scheduler::try_admit(const Held& held) {
  Sequence& s = *held;
  if (s.finished) return Admission::ended;
  if (s.sink->full() || prefix_in_flight(s)) return Admission::later;
  s.pages.emplace(arena_, s.slot->id);
  try {
    if (!adopt_prefix(s)) {
      s.pages.reset();
      return Admission::no_pages;
    }
    take_seat(s);
  } catch (...) {
    finish(s, FinishReason::error, {}, caught_error(Errc::internal, "admission"));
    return Admission::ended;
  }
  if (!s.was_admitted) {
    s.was_admitted = true;
    s.admitted = clock_.now();
    if (options_.observer)
      options_.observer->on_admitted(s.id, s.prompt_tokens, static_cast<std::uint32_t>(s.ledger.prompt_cached));
  }
  return Admission::admitted;
}

// Takes the pages that are at hand, a copy of a partly shared one, and fresh pages for the rest of what is to be
// computed. False: pages are short, and nothing was taken.
bool Scheduler::adopt_prefix(Sequence& s) {
  Lease lease;
  const std::span<const Token> tokens(s.tokens);
  if (shares_prefixes(s)) lease = index_->match(space_of(s), s.slot->id, tokens.first(tokens.size() - 1));
  s.pages->adopt(lease.pages());
  if (!reserve_beside(lease, s)) return false;
  if (lease.tail_page()) {
    const Granule own = s.pages->pages()[lease.pages().size()];
    const PageCopy copy{s.slot->id, *lease.tail_page(), own, lease.tail_tokens()};
    options_.backend->copy_pages(std::span(&copy, 1));
  }
  s.kv = static_cast<std::uint32_t>(lease.tokens());
  s.indexed = s.kv;
  const std::uint32_t hit = std::min(s.kv, s.prompt_tokens);
  if (hit > s.computed) s.ledger.prompt_cached += hit - s.computed;
  s.computed = std::max(s.computed, s.kv);
  return true;
}

// Room for all of its tokens. The lease may hold the very page that is lacking: the partly shared one, or one in an
// extent of another model's. Then it goes, and the request computes what it would have read.
bool Scheduler::reserve_beside(Lease& lease, Sequence& s) {
  const auto tokens = static_cast<std::uint32_t>(s.tokens.size());
  if (reserve(s, tokens)) return true;
  if (lease.tail_page()) {
    lease.release_tail();
    if (reserve(s, tokens)) return true;
  }
  if (!lease) return false;
  lease.release();
  s.pages->release();
  return reserve(s, tokens);
}

// Room for so many tokens: free pages, then idle prefixes, then those of draft models, then the pages of the youngest
// sequence that is younger than this one.
bool Scheduler::reserve(Sequence& s, std::uint32_t tokens) {
  while (!s.pages->grow_to(tokens)) {
    if (index_ != nullptr && index_->make_room(s.slot->id, s.pages->missing(tokens))) continue;
    if (speculation_ != nullptr && speculation_->release_pages(running_)) continue;
    const Held victim = victim_for(s);
    if (!victim) return false;
    preempt(victim);
  }
  return true;
}

// A running sequence may take from any that came after it; one that waits may only take from those whose reader is
// behind.
Scheduler::Held Scheduler::victim_for(const Sequence& s) const {
  const bool runs = std::any_of(running_.begin(), running_.end(), [&](const Held& r) { return r.get() == &s; });
  for (auto r = running_.rbegin(); r != running_.rend(); ++r) {
    if (r->get() == &s) break;
    if ((*r)->finished || !(*r)->pages) continue;
    if (runs || (*r)->sink->full()) return *r;
  }
  return nullptr;
}

// The lowest free number, so that all of them stay below max_running.
void Scheduler::take_seat(Sequence& s) {
  const auto free = std::find(seats_.begin(), seats_.end(), false);
  s.seat = static_cast<std::uint32_t>(free - seats_.begin());
  if (free == seats_.end()) seats_.push_back(false);
  seats_[*s.seat] = true;
}

void Scheduler::leave_seat(Sequence& s) {
  if (s.seat) seats_[*s.seat] = false;
  s.seat.reset();
}

void Scheduler::preempt(const Held& victim) {
  waiting_.push_front(victim);  // the one thing that may fail
  offer_prefix(*victim);
  if (speculation_ != nullptr) speculation_->leave(*victim);
  victim->pages.reset();
  leave_seat(*victim);
  victim->kv = victim->indexed = 0;
  std::erase(running_, victim);
  ++stats_.preemptions;
  if (options_.observer) options_.observer->on_preempted(victim->id);
}

// Full pages enter the index as soon as they are computed, so that those who wait for them need not wait for the
// answer.
void Scheduler::offer_prefix(Sequence& s) {
  const std::uint32_t block = arena_.plan().block_tokens();
  const std::uint32_t whole = s.kv / block * block;
  if (!shares_prefixes(s) || whole <= s.indexed) return;
  const std::span<const Token> tokens = std::span(s.tokens).first(whole);
  try {
    index_->insert(space_of(s), s.slot->id, tokens, s.pages->full_pages(whole),
                   whole * s.slot->seconds_per_prompt_token, s.keep);
    shortest_keep_ = std::min(shortest_keep_, s.keep);
  } catch (...) {
    say(options_.log, LogLevel::warning, s.id, [] { return "prefix not indexed: " + caught_text(); });
  }
  s.indexed = whole;
}

}  // namespace frugal

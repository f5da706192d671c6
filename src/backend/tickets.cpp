#include "backend/tickets.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace frugal::backend {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(Errc::invalid_argument, "backend: " + message); }

std::string text(Ticket ticket) { return "ticket " + std::to_string(ticket.value); }

bool names_earlier(const DrawSpec& d) { return d.draft.ticket != Ticket{} || d.keep_distribution; }

bool needs_patch(const Batch& batch) {
  return std::any_of(batch.segments.begin(), batch.segments.end(), [](const Segment& s) {
    return !s.from.empty() || std::any_of(s.draws.begin(), s.draws.end(), names_earlier);
  });
}

}  // namespace

/// A batch with everything on the host, and the memory that it points to.
struct Tickets::Patch {
  std::vector<Segment> segments;
  std::vector<std::vector<Token>> tokens;
  std::vector<DrawSpec> draws;
};

Tickets::Pass& Tickets::open() {
  Pass& pass = ring_[next_ % ring_.size()];
  if (!pass.waited) throw Error(Errc::busy, "backend: " + text(pass.ticket) + " is still to be waited for");
  pass.ticket = Ticket(next_++);
  pass.waited = pass.failed = false;
  pass.error = nullptr;
  pass.drawn.clear(), pass.kept.clear();
  return pass;
}

Ticket Tickets::run(const std::function<void()>& work) {
  Pass& pass = open();
  try {
    work();
  } catch (...) {
    pass.failed = true;
    pass.error = std::current_exception();
  }
  return pass.ticket;
}

Ticket Tickets::run(const Batch& batch, const std::function<void(const Batch&)>& forward) {
  return run_patched(batch, true, [&](const Batch& whole, Ticket) { forward(whole); });
}

Ticket Tickets::run_keeping(const Batch& batch, const std::function<void(const Batch&, Ticket)>& pass) {
  return run_patched(batch, false, pass);
}

Ticket Tickets::run_patched(const Batch& batch, bool keeps, const std::function<void(const Batch&, Ticket)>& forward) {
  Pass& pass = open();
  try {
    if (needs_patch(batch)) {
      const Patch patch = patched(batch, pass, keeps);
      Batch whole = batch;
      whole.segments = patch.segments;
      forward(whole, pass.ticket);
    } else {
      forward(batch, pass.ticket);
    }
    for (const TokenScore& score : batch.drawn) pass.drawn.push_back(score.token);
  } catch (...) {
    pass.failed = true;
    pass.error = std::current_exception();
  }
  return pass.ticket;
}

void Tickets::wait(Ticket ticket) {
  Pass& pass = ring_[ticket.value % ring_.size()];
  if (ticket == Ticket{} || pass.ticket != ticket) refuse(text(ticket) + " is unknown");
  if (pass.waited) refuse(text(ticket) + " was waited for before");
  pass.waited = true;
  if (pass.error != nullptr) std::rethrow_exception(std::exchange(pass.error, nullptr));
}

const Tickets::Pass& Tickets::named(DrawRef ref) const {
  const Pass& pass = ring_[ref.ticket.value % ring_.size()];
  if (pass.ticket != ref.ticket) refuse(text(ref.ticket) + " is not among the last passes");
  if (pass.failed) refuse(text(ref.ticket) + " failed, so its draws do not exist");
  if (ref.draw >= pass.drawn.size()) {
    refuse(text(ref.ticket) + " has " + std::to_string(pass.drawn.size()) + " draws, number " +
           std::to_string(ref.draw) + " is named");
  }
  return pass;
}

void Tickets::patch_tokens(Segment& segment, std::vector<Token>& tokens) const {
  if (segment.from.size() != segment.tokens.size()) refuse("Segment.from has another size than there are rows");
  tokens.assign(segment.tokens.begin(), segment.tokens.end());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const DrawRef ref = segment.from[i];
    if (ref.ticket != Ticket{}) tokens[i] = named(ref).drawn[ref.draw];
  }
  segment.tokens = tokens;
  segment.from = {};
}

/// Where the distributions are kept here, the draft's is filled in, and the draw's own goes to `kept`.
void Tickets::patch_draw(DrawSpec& draw, std::vector<float>& kept, bool keeps) const {
  if (draw.draft.ticket != Ticket{}) {
    const Pass& drafts = named(draw.draft);
    draw.drafted = drafts.drawn[draw.draft.draw];
    if (keeps) {
      if (draw.draft.draw >= drafts.kept.size() || drafts.kept[draw.draft.draw].empty())
        refuse(text(draw.draft.ticket) + " did not keep the distribution of its draw " +
               std::to_string(draw.draft.draw));
      draw.draft_distribution = drafts.kept[draw.draft.draw];
      draw.draft = {};
    }
  }
  if (keeps && draw.keep_distribution && draw.distribution == nullptr) draw.distribution = &kept;
}

Tickets::Patch Tickets::patched(const Batch& batch, Pass& pass, bool keeps) const {
  Patch patch;
  patch.segments.assign(batch.segments.begin(), batch.segments.end());
  patch.tokens.resize(batch.segments.size());
  for (const Segment& s : batch.segments) patch.draws.insert(patch.draws.end(), s.draws.begin(), s.draws.end());
  pass.kept.resize(patch.draws.size());
  std::size_t first = 0;
  for (std::size_t i = 0; i < patch.segments.size(); ++i) {
    Segment& s = patch.segments[i];
    if (!s.from.empty()) patch_tokens(s, patch.tokens[i]);
    s.draws = std::span(patch.draws).subspan(first, s.draws.size());
    first += s.draws.size();
  }
  for (std::size_t i = 0; i < patch.draws.size(); ++i) patch_draw(patch.draws[i], pass.kept[i], keeps);
  return patch;
}

}  // namespace frugal::backend

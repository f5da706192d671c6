#include "engine/waiting_room.hpp"

#include <algorithm>
#include <tuple>

namespace frugal {
namespace {

using Held = WaitingRoom::Held;

// Smaller goes first.
auto rank(const Sequence& s) {
  return std::tuple(!s.urgent, -std::int64_t{s.priority()}, !s.was_admitted, s.was_admitted ? 0.0 : s.group->served,
                    s.id.value);
}

bool computes_its_prompt(const Sequence& s) {
  return !s.finished && s.lane.pages && s.lane.kv < s.prompt_tokens && !s.sink->full();
}

}  // namespace

void WaitingRoom::to_line(const Held& s) { lines_[s->group].emplace(s->id.value, s); }

bool WaitingRoom::take_from_line(const Held& s) noexcept {
  const auto line = lines_.find(s->group);
  if (line == lines_.end() || line->second.erase(s->id.value) == 0) return false;
  if (line->second.empty()) lines_.erase(line);
  return true;
}

void WaitingRoom::add(Held s) {
  to_line(s);
  ++size_;
}

void WaitingRoom::remove(const Held& s) noexcept {
  std::size_t gone = take_from_line(s) ? 1 : std::erase(readers_, s);
  for (Followed& f : followed_)
    gone += gone > 0 ? 0 : std::erase_if(f.followers, [&](const auto& entry) { return entry.second == s; });
  size_ -= gone;
}

Held WaitingRoom::next() const {
  Held best;
  for (const auto& [group, line] : lines_) {
    // One that ran before is older than all that did not, but for those of urgent rank.
    for (const auto& [age, s] : line) {
      if (!best || rank(*s) < rank(*best)) best = s;
      if (!s->was_admitted) break;
    }
  }
  return best;
}

void WaitingRoom::follow(const Held& s, const Held& leader, std::uint32_t tokens) {
  auto found = std::find_if(followed_.begin(), followed_.end(), [&](const Followed& f) { return f.leader == leader; });
  if (found == followed_.end()) {
    followed_.push_back({leader, {}});
    found = followed_.end() - 1;
  }
  found->followers.emplace(tokens, s);
  take_from_line(s);
}

void WaitingRoom::await_reader(const Held& s) {
  readers_.push_back(s);
  take_from_line(s);
}

void WaitingRoom::recall() {
  for (Followed& f : followed_) {
    const bool all = !computes_its_prompt(*f.leader);
    while (!f.followers.empty() && (all || f.followers.begin()->first <= f.leader->lane.kv)) {
      to_line(f.followers.begin()->second);
      f.followers.erase(f.followers.begin());
    }
  }
  std::erase_if(followed_, [](const Followed& f) { return f.followers.empty(); });
  for (std::size_t i = 0; i < readers_.size();) {
    if (readers_[i]->sink->full()) {
      ++i;
      continue;
    }
    to_line(readers_[i]);
    readers_.erase(readers_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void WaitingRoom::sweep() noexcept {
  const auto over = [](const Held& s) { return s->finished; };
  size_ -= std::erase_if(readers_, over);
  for (Followed& f : followed_)
    size_ -= std::erase_if(f.followers, [](const auto& entry) { return entry.second->finished; });
  for (auto line = lines_.begin(); line != lines_.end();) {
    size_ -= std::erase_if(line->second, [](const auto& entry) { return entry.second->finished; });
    line = line->second.empty() ? lines_.erase(line) : std::next(line);
  }
}

}  // namespace frugal

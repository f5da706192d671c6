#include "endpoint/members.hpp"

#include <algorithm>
#include <utility>

namespace frugal {

Members::Members(std::span<Endpoint* const> endpoints, const char* option) {
  if (endpoints.empty() || std::count(endpoints.begin(), endpoints.end(), nullptr) > 0)
    throw Error(Errc::invalid_argument, std::string(option) + " is empty or holds a null");
  for (const Endpoint* e : endpoints) all_.push_back({EndpointRef(*e), std::string(e->name())});
}

Progress Members::step() const {
  const auto busier = [](Progress a, Progress b) { return std::min(a, b); };  // in the order of the enumerators
  Progress all = Progress::idle;
  for (const Member& m : all_)
    if (const EndpointRef::Visit visit = m.endpoint.enter()) all = busier(all, visit->step());
  return all;
}

void Members::watch(Waker& waker, bool every_step) const {
  for (const Member& m : all_)
    if (const EndpointRef::Visit visit = m.endpoint.enter()) visit->watch(waker, every_step);
}

void Members::unwatch(Waker& waker) const {
  for (const Member& m : all_)
    if (const EndpointRef::Visit visit = m.endpoint.enter()) visit->unwatch(waker);
}

void Members::wake() const {
  for (const Member& m : all_)
    if (const EndpointRef::Visit visit = m.endpoint.enter()) visit->wake();
}

std::optional<TimePoint> Members::next_deadline() const {
  std::optional<TimePoint> first;
  for (const Member& m : all_) {
    const EndpointRef::Visit visit = m.endpoint.enter();
    const std::optional<TimePoint> t = visit ? visit->next_deadline() : std::nullopt;
    if (t && (!first || *t < *first)) first = t;
  }
  return first;
}

std::vector<Load> Members::loads() const {
  std::vector<Load> all;
  for (const Member& m : all_) {
    const EndpointRef::Visit visit = m.endpoint.enter();
    all.push_back(visit ? visit->load() : Load{.running = 0, .waiting = 0, .accepting = false});
  }
  return all;
}

Load Members::sum(std::span<const Load> loads) {
  Load sum{.running = 0, .waiting = 0, .free_tokens = loads.front().free_tokens};
  const auto add = [](std::optional<std::uint32_t>& to, std::optional<std::uint32_t> n) {
    to = to && n ? std::optional(*to + *n) : std::nullopt;
  };
  for (const Load& load : loads) {
    add(sum.running, load.running);
    add(sum.waiting, load.waiting);
  }
  return sum;
}

}  // namespace frugal

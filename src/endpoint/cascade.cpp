#include <frugal/endpoint/cascade.hpp>

#include <algorithm>
#include <functional>
#include <utility>

#include "endpoint/cascade_request.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/refusal.hpp"

namespace frugal {

Cascade::Shared::Shared(CascadeOptions o)
    : name(std::move(o.name)), policy(std::move(o.policy)), clock(o.clock), log(guarded_log(std::move(o.log), "")) {
  const bool holes = std::count(o.tiers.begin(), o.tiers.end(), nullptr) > 0;
  if (o.tiers.empty() || holes) throw Error(Errc::invalid_argument, "CascadeOptions::tiers is empty or holds a null");
  if (!policy) throw Error(Errc::invalid_argument, "CascadeOptions::policy is null");
  for (const Endpoint* tier : o.tiers) tiers.push_back({EndpointRef(*tier), std::string(tier->name())});
}

Cascade::Cascade(CascadeOptions options) : shared_(std::make_shared<Shared>(std::move(options))) {}

Cascade::~Cascade() {
  std::set<std::shared_ptr<CascadeRequest>> live;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->closed = true;
    live = shared_->live;
  }
  for (const std::shared_ptr<CascadeRequest>& request : live) request->disown();
  retire();
}

std::string_view Cascade::name() const { return shared_->name; }

Call Cascade::start(Request request, std::shared_ptr<Sink> sink) {
  const RequestId id{shared_->next_id.fetch_add(1)};
  std::shared_ptr<CascadeRequest> going;
  std::function<void()> cancel;
  bool closed = false;
  try {
    going = std::make_shared<CascadeRequest>(shared_, id, std::move(request), sink);
    cancel = [weak = std::weak_ptr<CascadeRequest>(going)] {
      if (const auto r = weak.lock()) r->cancel();
    };
    const std::lock_guard lock(shared_->mutex);
    closed = shared_->closed;
    if (!closed) shared_->live.insert(going);
  } catch (...) {
    refuse_without_memory(std::move(sink), id);
    return Call({}, id);
  }
  if (closed) {
    going->disown();
    return Call({}, id);
  }
  going->start();
  return Call(std::move(cancel), id);
}

Progress Cascade::step() {
  const auto busier = [](Progress a, Progress b) { return std::min(a, b); };  // in the order of the enumerators
  Progress all = Progress::idle;
  for (const Shared::Tier& tier : shared_->tiers)
    if (const EndpointRef::Visit visit = tier.endpoint.enter()) all = busier(all, visit->step());
  if (all != Progress::idle) return all;
  const std::lock_guard lock(shared_->mutex);
  return shared_->live.empty() ? Progress::idle : Progress::waiting;
}

void Cascade::watch(Waker& waker, bool every_step) {
  for (const Shared::Tier& tier : shared_->tiers)
    if (const EndpointRef::Visit visit = tier.endpoint.enter()) visit->watch(waker, every_step);
}

void Cascade::unwatch(Waker& waker) {
  for (const Shared::Tier& tier : shared_->tiers)
    if (const EndpointRef::Visit visit = tier.endpoint.enter()) visit->unwatch(waker);
}

void Cascade::wake() {
  for (const Shared::Tier& tier : shared_->tiers)
    if (const EndpointRef::Visit visit = tier.endpoint.enter()) visit->wake();
}

std::optional<TimePoint> Cascade::next_deadline() const {
  std::optional<TimePoint> first;
  for (const Shared::Tier& tier : shared_->tiers) {
    const EndpointRef::Visit visit = tier.endpoint.enter();
    const std::optional<TimePoint> t = visit ? visit->next_deadline() : std::nullopt;
    if (t && (!first || *t < *first)) first = t;
  }
  return first;
}

Load Cascade::load() const {
  Load sum{.running = 0, .waiting = 0};
  for (std::size_t i = 0; i < shared_->tiers.size(); ++i) {
    const EndpointRef::Visit visit = shared_->tiers[i].endpoint.enter();
    const Load load = visit ? visit->load() : Load{.running = 0, .waiting = 0, .accepting = false};
    const auto add = [](std::optional<std::uint32_t>& to, std::optional<std::uint32_t> n) {
      to = to && n ? std::optional(*to + *n) : std::nullopt;
    };
    add(sum.running, load.running);
    add(sum.waiting, load.waiting);
    if (i == 0) sum.free_tokens = load.free_tokens;
    sum.accepting = i == 0 ? load.accepting : sum.accepting || load.accepting;
  }
  return sum;
}

std::vector<std::string> Cascade::may_answer(std::string_view model) const {
  std::vector<std::string> all;
  bool known = model.empty() || model == shared_->name;
  for (const Shared::Tier& tier : shared_->tiers) {
    known |= tier.name == model;
    const EndpointRef::Visit visit = tier.endpoint.enter();
    if (!visit) continue;
    known |= !visit->may_answer(model).empty();
    for (std::string& name : visit->may_answer({}))
      if (std::find(all.begin(), all.end(), name) == all.end()) all.push_back(std::move(name));
  }
  return known ? all : std::vector<std::string>();
}

}  // namespace frugal

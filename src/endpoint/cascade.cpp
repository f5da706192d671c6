#include <frugal/endpoint/cascade.hpp>

#include <algorithm>
#include <functional>
#include <utility>

#include "endpoint/cascade_request.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/refusal.hpp"

namespace frugal {

Cascade::Shared::Shared(CascadeOptions o)
    : name(std::move(o.name)),
      policy(std::move(o.policy)),
      tiers(o.tiers, "CascadeOptions::tiers"),
      clock(o.clock),
      log(guarded_log(std::move(o.log), "")),
      streaming(o.streaming) {
  if (!policy) throw Error(Errc::invalid_argument, "CascadeOptions::policy is null");
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
  const Progress all = shared_->tiers.step();
  if (all != Progress::idle) return all;
  const std::lock_guard lock(shared_->mutex);
  return shared_->live.empty() ? Progress::idle : Progress::waiting;
}

void Cascade::watch(Waker& waker, bool every_step) { shared_->tiers.watch(waker, every_step); }
void Cascade::unwatch(Waker& waker) { shared_->tiers.unwatch(waker); }
void Cascade::wake() { shared_->tiers.wake(); }
std::optional<TimePoint> Cascade::next_deadline() const { return shared_->tiers.next_deadline(); }

Load Cascade::load() const {
  const std::vector<Load> loads = shared_->tiers.loads();
  Load sum = Members::sum(loads);
  sum.accepting = std::any_of(loads.begin(), loads.end(), [](const Load& load) { return load.accepting; });
  return sum;
}

std::vector<std::string> Cascade::may_answer(std::string_view model) const {
  std::vector<std::string> all;
  bool known = model.empty() || model == shared_->name;
  for (const Members::Member& tier : shared_->tiers) {
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

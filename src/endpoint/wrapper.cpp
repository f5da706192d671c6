#include <frugal/endpoint/wrapper.hpp>

#include <utility>

namespace frugal {

EndpointWrapper::EndpointWrapper(Endpoint& inner) : EndpointWrapper(inner, std::string(inner.name())) {}
EndpointWrapper::EndpointWrapper(Endpoint& inner, std::string name) : name_(std::move(name)), inner_(inner) {}
EndpointWrapper::~EndpointWrapper() { leave(); }

void EndpointWrapper::leave() {
  if (const EndpointRef::Visit visit = inner_.enter()) {
    retire(visit.operator->());
  } else {
    retire();
  }
}

Call EndpointWrapper::start(Request request, std::shared_ptr<Sink> sink) {
  return inner_.start(std::move(request), sink);
}

Progress EndpointWrapper::step() {
  const EndpointRef::Visit visit = inner_.enter();
  return visit ? visit->step() : Progress::idle;
}

void EndpointWrapper::watch(Waker& waker, bool every_step) {
  if (const EndpointRef::Visit visit = inner_.enter()) visit->watch(waker, every_step);
}

void EndpointWrapper::unwatch(Waker& waker) {
  if (const EndpointRef::Visit visit = inner_.enter()) visit->unwatch(waker);
}

void EndpointWrapper::wake() {
  if (const EndpointRef::Visit visit = inner_.enter()) visit->wake();
}

std::optional<TimePoint> EndpointWrapper::next_deadline() const {
  const EndpointRef::Visit visit = inner_.enter();
  return visit ? visit->next_deadline() : std::nullopt;
}

Load EndpointWrapper::load() const {
  const EndpointRef::Visit visit = inner_.enter();
  return visit ? visit->load() : Load{.accepting = false};
}

std::vector<std::string> EndpointWrapper::may_answer(std::string_view model) const {
  const EndpointRef::Visit visit = inner_.enter();
  return visit ? visit->may_answer(model) : std::vector<std::string>();
}

}  // namespace frugal

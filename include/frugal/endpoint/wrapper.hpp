// EndpointWrapper: an endpoint around one other that forwards everything. Derive from it to add one thing, as Metered
// and Budgeted do: override start(), and put a sink of your own in front of the caller's.
//
// Threads: as the inner endpoint. The inner endpoint is lent. It may go first: requests are then refused as unavailable.
// If the wrapper goes first, streams that were started through it go on with the inner endpoint, so a sink must hold
// what it needs by value or by shared_ptr, never a reference into the wrapper.
#pragma once

#include <frugal/config.hpp>
#include <frugal/endpoint/endpoint.hpp>

#include <string>

namespace frugal {

class FRUGAL_API EndpointWrapper : public Endpoint {
 public:
  explicit EndpointWrapper(Endpoint& inner);
  ~EndpointWrapper() override;
  std::string_view name() const override { return name_; }  ///< the inner one's
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  Progress step() override;
  void watch(Waker& waker, bool every_step) override;
  void unwatch(Waker& waker) override;
  void wake() override;
  std::optional<TimePoint> next_deadline() const override;
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;

 protected:
  EndpointWrapper(Endpoint& inner, std::string name);
  /// For the destructor of a derived class, as its first act: waits until no thread is inside; streams go on with the
  /// inner endpoint. Idempotent.
  void leave();
  const EndpointRef& inner() const noexcept { return inner_; }

 private:
  std::string name_;
  EndpointRef inner_;
};

}  // namespace frugal

// The three ways to ask an endpoint, all over its one primitive, start().
#include <frugal/endpoint/endpoint.hpp>

#include "endpoint/channel.hpp"

#include <utility>

namespace frugal {

Sink::~Sink() = default;
Endpoint::~Endpoint() = default;

void Endpoint::drive(const std::function<bool()>& until) {
  while (!until() && step()) {
  }
}

Stream Endpoint::submit(Request request) {
  auto channel = std::make_shared<Stream::Channel>(request.stream_capacity);
  Call call = start(std::move(request), channel);
  return Stream(*this, std::move(channel), std::move(call));
}

namespace {
struct CallbackSink final : Sink {
  std::function<void(Delta)> delta;
  std::function<void(Finish)> finish;
  void on_delta(Delta d) override {
    if (delta) delta(std::move(d));
  }
  void on_finish(Finish f) override {
    if (finish) finish(std::move(f));
  }
};
}  // namespace

Call Endpoint::submit(Request request, std::function<void(Delta)> on_delta, std::function<void(Finish)> on_finish) {
  auto sink = std::make_shared<CallbackSink>();
  sink->delta = std::move(on_delta);
  sink->finish = std::move(on_finish);
  return start(std::move(request), std::move(sink));
}

Answer Endpoint::run(Request request) { return submit(std::move(request)).wait(); }

}  // namespace frugal

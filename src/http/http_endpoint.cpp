#include <frugal/core/error.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <utility>

#include "endpoint/guarded_sink.hpp"
#include "endpoint/refusal.hpp"
#include "http/options.hpp"
#include "http/traffic.hpp"

namespace frugal {

namespace {

using http::Traffic;
using http::Transfer;

}  // namespace

struct HttpEndpoint::Impl {
  Impl(HttpOptions o, Watchers& watchers) : options(http::checked(std::move(o))), traffic(options, watchers) {}
  Call begin(HttpEndpoint& self, Request request, const std::shared_ptr<Sink>& sink, const Traffic::Ticket& ticket);

  const HttpOptions options;
  Traffic traffic;
};

HttpEndpoint::HttpEndpoint(HttpOptions options) : impl_(std::make_unique<Impl>(std::move(options), watchers())) {}

HttpEndpoint::~HttpEndpoint() {
  impl_->traffic.stop();
  retire();
}

std::string_view HttpEndpoint::name() const { return impl_->options.name; }

Call HttpEndpoint::start(Request request, std::shared_ptr<Sink> sink) {
  const Traffic::Ticket ticket = impl_->traffic.ticket();
  try {
    return impl_->begin(*this, std::move(request), sink, ticket);
  } catch (...) {
    refuse_without_memory(std::move(sink), ticket.id);
    return Call({}, ticket.id);
  }
}

// Throws only before the request has been queued and before it has been refused.
Call HttpEndpoint::Impl::begin(HttpEndpoint& self, Request request, const std::shared_ptr<Sink>& sink,
                               const Traffic::Ticket& ticket) {
  const HttpOptions& o = options;
  const auto refuse = [&](Error error) {
    Finish end = refusal(std::move(error), request.model.empty() ? o.model : request.model);
    end.id = request.id;
    end.request = ticket.id;
    GuardedSink(sink, &o.log, ticket.id).on_finish(std::move(end));
    return Call({}, ticket.id);
  };
  const auto shut = [&] { return Error(Errc::unavailable, "endpoint " + o.name + " has been shut down"); };
  if (ticket.room == Traffic::Room::closed) return refuse(shut());
  if (ticket.room == Traffic::Room::full)
    return refuse(Error(Errc::busy, "endpoint " + o.name + ": its queue is full"));
  if (self.may_answer(request.model).empty())
    return refuse(Error(Errc::invalid_argument, "endpoint " + o.name + " has no model \"" + request.model +
                                                    "\"; it answers as \"" + o.model + "\""));
  expected<http::Post> post = http::api_of(o.api).post(request, o);
  if (!post) return refuse(post.error());
  const auto transfer = std::make_shared<Transfer>(o, std::move(request), sink, ticket.id, std::move(*post));
  Call call(
      [flag = transfer->cancel_flag(), endpoint = EndpointRef(self)] {
        if (flag->exchange(true)) return;
        if (const EndpointRef::Visit visit = endpoint.enter()) visit->wake();
      },
      ticket.id);
  if (!traffic.enqueue(transfer)) transfer->deliver(transfer->refused(shut()));
  return call;
}

Progress HttpEndpoint::step() {
  if (impl_->traffic.run_errand()) return Progress::worked;
  return impl_->traffic.idle() ? Progress::idle : Progress::elsewhere;
}

void HttpEndpoint::wake() { impl_->traffic.wake(); }

Load HttpEndpoint::load() const { return impl_->traffic.load(); }

std::vector<std::string> HttpEndpoint::may_answer(std::string_view model) const {
  if (model.empty() || model == impl_->options.model || model == impl_->options.name) return {impl_->options.model};
  return {};
}

HttpStats HttpEndpoint::stats() const { return impl_->traffic.stats(); }

}  // namespace frugal

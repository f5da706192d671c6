#include <frugal/core/error.hpp>
#include <frugal/http/batch_endpoint.hpp>

#include <utility>

#include "endpoint/refusal.hpp"
#include "http/batch_courier.hpp"
#include "http/options.hpp"

namespace frugal {

namespace {

HttpBatchOptions checked(HttpBatchOptions o) {
  const auto refuse = [](const std::string& why) { throw Error(Errc::invalid_argument, "HttpBatchOptions: " + why); };
  o.http = http::checked(std::move(o.http));
  if (o.poll <= Duration::zero()) refuse("poll is not a time");
  if (o.linger < Duration::zero()) refuse("linger is negative");
  if (o.most_requests == 0 || o.most_bytes == 0) refuse("most_requests or most_bytes is 0");
  return o;
}

}  // namespace

struct HttpBatchEndpoint::Impl {
  Impl(HttpBatchOptions o, Watchers& watchers) : options(checked(std::move(o))), courier(options, watchers) {}
  Call begin(HttpBatchEndpoint& self, Request request, const std::shared_ptr<Sink>& sink, RequestId id);

  const HttpBatchOptions options;
  http::BatchCourier courier;
};

HttpBatchEndpoint::HttpBatchEndpoint(HttpBatchOptions options)
    : impl_(std::make_unique<Impl>(std::move(options), watchers())) {}

HttpBatchEndpoint::~HttpBatchEndpoint() {
  impl_->courier.stop();
  retire();
}

std::string_view HttpBatchEndpoint::name() const { return impl_->options.http.name; }

Call HttpBatchEndpoint::start(Request request, std::shared_ptr<Sink> sink) {
  const RequestId id = impl_->courier.next_id();
  try {
    return impl_->begin(*this, std::move(request), sink, id);
  } catch (...) {
    refuse_without_memory(std::move(sink), id);
    return Call({}, id);
  }
}

// Throws only before the request has been queued and before it has been refused.
Call HttpBatchEndpoint::Impl::begin(HttpBatchEndpoint& self, Request request, const std::shared_ptr<Sink>& sink,
                                    RequestId id) {
  const HttpOptions& o = options.http;
  const auto refuse = [&](Error error) {
    Finish end = refusal(std::move(error), request.model.empty() ? o.model : request.model);
    end.id = request.id;
    end.request = id;
    GuardedSink(sink, &o.log, id).on_finish(std::move(end));
    return Call({}, id);
  };
  if (self.may_answer(request.model).empty())
    return refuse(Error(Errc::invalid_argument, "endpoint " + o.name + " has no model \"" + request.model +
                                                    "\"; it answers as \"" + o.model + "\""));
  expected<http::Post> post = http::api_of(o.api).post(request, o);
  if (!post) return refuse(post.error());
  const auto entry = std::make_shared<http::BatchEntry>(request, sink, o.log, id, http::batch_body(post->body));
  Call call(
      [flag = entry->cancelled, endpoint = EndpointRef(self)] {
        if (flag->exchange(true)) return;
        if (const EndpointRef::Visit visit = endpoint.enter()) visit->wake();
      },
      id);
  if (!courier.enqueue(entry)) return refuse(Error(Errc::unavailable, "endpoint " + o.name + " has been shut down"));
  return call;
}

Progress HttpBatchEndpoint::step() {
  if (impl_->courier.run_errand()) return Progress::worked;
  return impl_->courier.idle() ? Progress::idle : Progress::elsewhere;
}

void HttpBatchEndpoint::wake() { impl_->courier.wake(); }
Load HttpBatchEndpoint::load() const { return impl_->courier.load(); }
HttpBatchStats HttpBatchEndpoint::stats() const { return impl_->courier.stats(); }

std::vector<std::string> HttpBatchEndpoint::may_answer(std::string_view model) const {
  const HttpOptions& o = impl_->options.http;
  if (model.empty() || model == o.model || model == o.name) return {o.model};
  return {};
}

}  // namespace frugal

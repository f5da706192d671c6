#include <frugal/core/error.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <utility>

#include "endpoint/guarded_sink.hpp"
#include "endpoint/refusal.hpp"
#include "http/options.hpp"
#include "http/prompt_caching.hpp"
#include "http/traffic.hpp"

namespace frugal {

namespace {

using http::Traffic;
using http::Transfer;

/// Passes everything on, and compares the bill with what was expected of the provider's cache.
class CacheWatch final : public Sink {
 public:
  CacheWatch(http::PromptCaching& caching, http::CachePlan plan, const Clock& clock, std::shared_ptr<Sink> out)
      : caching_(caching), plan_(std::move(plan)), clock_(clock), out_(std::move(out)) {}
  void on_prompt(std::span<const Token> prompt) override { out_->on_prompt(prompt); }
  void on_delta(Delta delta) override { out_->on_delta(std::move(delta)); }
  bool full() const override { return out_->full(); }
  void on_finish(Finish finish) override {
    try {
      caching_.settle(plan_, finish, clock_.now());
    } catch (...) {  // no memory to remember it: the answer is whole all the same
    }
    out_->on_finish(std::move(finish));
  }

 private:
  http::PromptCaching& caching_;
  const http::CachePlan plan_;
  const Clock& clock_;
  const std::shared_ptr<Sink> out_;
};

}  // namespace

struct HttpEndpoint::Impl {
  Impl(HttpOptions o, Watchers& watchers)
      : options(http::checked(std::move(o))), caching(options), traffic(options, watchers) {}
  Call begin(HttpEndpoint& self, Request request, const std::shared_ptr<Sink>& sink, const Traffic::Ticket& ticket);

  const HttpOptions options;
  http::PromptCaching caching;
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
  const Clock& clock = o.clock != nullptr ? *o.clock : steady_clock();
  http::CachePlan plan = caching.plan(request, clock.now());
  expected<http::Post> post = http::api_of(o.api).post(request, o, plan);
  if (!post) return refuse(post.error());
  std::shared_ptr<Sink> out = sink;
  if (!plan.places.empty()) out = std::make_shared<CacheWatch>(caching, std::move(plan), clock, sink);
  const auto transfer = std::make_shared<Transfer>(o, std::move(request), std::move(out), ticket.id, std::move(*post));
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

std::vector<HttpCacheReport> HttpEndpoint::cache_report() const { return impl_->caching.report(); }

}  // namespace frugal

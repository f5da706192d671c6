// Router: which answer a path and a method get, and who may ask. No network here.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "server/dialect.hpp"
#include "server/error_counter.hpp"
#include "server/message.hpp"

namespace frugal::server {

/// One of the three.
struct Route {
  std::optional<Outgoing> answer{};                 ///< at hand
  std::function<Outgoing(const Incoming&)> work{};  ///< takes a while: not on the connection's thread
  const Dialect* dialect = nullptr;                 ///< an answer that an endpoint makes
  std::string path{};                               ///< fit for a log: without what only the client knows
};

class Router {
 public:
  /// All outlive this.
  Router(const ServerOptions& options, const Catalogue& catalogue, const ErrorCounter& errors);

  /// The answer to a client that may not ask here, which its head alone tells; else the request's tenant and rights are
  /// filled in. Any thread.
  std::optional<Outgoing> refusal(Incoming& incoming) const;
  /// Asks refusal() first. Any thread.
  Route route(Incoming& incoming, bool draining) const;
  /// An error before there is a route, e.g. of a request that could not be parsed, in the path's own form.
  static Outgoing error(const std::string& path, const ApiError& error, const std::string& request_id);

 private:
  bool answers_to(std::string_view host) const;
  const ApiKey* key_of(const Incoming& incoming) const;
  Route known(Incoming& incoming) const;
  Outgoing models(const Incoming& incoming) const;
  Outgoing model(const Incoming& incoming, const std::string& name) const;
  Outgoing metrics() const;

  const ServerOptions& options_;
  const Catalogue& catalogue_;
  const ErrorCounter& errors_;
  Meter no_meter_{};
};

}  // namespace frugal::server

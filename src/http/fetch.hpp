// Fetch: one whole answer to one HTTP request, on the calling thread. For APIs that are no streams.
#pragma once

#include <frugal/core/expected.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <functional>
#include <string>
#include <string_view>

#include "http/api.hpp"
#include "http/stop.hpp"

namespace frugal::http {

struct Ask {
  std::string url{};
  std::string body{};      ///< JSON to POST; empty = GET
  std::string upload{};    ///< instead of it: a file of lines, sent as a form with purpose "batch"
  bool repeatable = true;  ///< doing it twice does no harm
};

struct Got {
  long status = 0;
  std::string body{};
};

/// Asks, and asks again as HttpRetries allow, after the pause that a Retry-After wants where it is not too long: after no
/// connection and 429 in any case, after other failures where the ask is repeatable. Errors: unavailable (the network; it
/// was stopped), out_of_memory. A status is no error. `on_line`, where given, takes each line of an answer with status
/// 200, so that its body stays empty.
expected<Got> fetch(const HttpOptions& options, const Ask& ask, const Stop& stop,
                    const std::function<void(std::string_view)>& on_line = {});

}  // namespace frugal::http

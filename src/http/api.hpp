// Api: one provider's dialect. Makes the body of a request, and reads the events of its answer. Stateless but for the
// reader, which belongs to one answer. No network here.
#pragma once

#include <frugal/core/expected.hpp>
#include <frugal/core/request.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/cache_plan.hpp"
#include "http/reader.hpp"

namespace frugal::http {

struct Post {
  std::string url{}, body{};
  std::vector<std::pair<std::string, std::string>> headers{};  ///< without the key
};

/// The key's header, e.g. {"Authorization", "Bearer "}: name, and what stands before the key.
using KeyHeader = std::pair<const char*, const char*>;

class Api {
 public:
  virtual ~Api() = default;
  /// The request in this dialect, with the plan's marks for the provider's cache; an Error(invalid_argument or
  /// unsupported) names the field that cannot be said in it.
  virtual expected<Post> post(const Request& request, const HttpOptions& options, const CachePlan& plan) const = 0;
  expected<Post> post(const Request& request, const HttpOptions& options) const {
    return post(request, options, plain_plan(request, options));
  }
  virtual std::unique_ptr<Reader> reader(const Request& request) const = 0;
  virtual KeyHeader key_header() const = 0;
};

/// Immutable, shared.
const Api& api_of(HttpApi api);
const Api& openai_chat();
const Api& openai_responses();
const Api& openai_completions();
const Api& anthropic_messages();

/// The Error behind an HTTP status that is not 200, from the API's own error body where it has one.
Error error_of_status(long status, const std::string& body, const std::string& endpoint);
/// A second try may mend it.
bool worth_a_retry(long status);

}  // namespace frugal::http

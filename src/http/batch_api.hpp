// BatchApi: how one provider takes a batch, tells of it and gives its results. Stateless; blocks on the network.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/api.hpp"
#include "http/fetch.hpp"

namespace frugal::http {

struct BatchItem {
  std::string id{};    ///< the provider's custom_id: letters, digits and dashes, at most 64
  std::string body{};  ///< of the single request, without what asks for a stream
};

/// What a look at a batch said.
struct BatchLook {
  bool ended = false;
  std::vector<std::string> results{};  ///< URLs, each with results as lines
  std::string fault{};                 ///< the whole batch came to nothing: why
};

/// One line of the results: an answer as the events of a stream would have brought it, or an error.
struct BatchResult {
  std::string id{};
  std::vector<SseEvent> events{};
  std::optional<Error> error{};
};

class BatchApi {
 public:
  virtual ~BatchApi() = default;
  struct Context {
    const HttpOptions& options;
    const Stop& stop;
  };
  /// The batch's id. `mark` is the caller's own name for it, of 32 digits.
  virtual expected<std::string> submit(const Context& c, const std::vector<BatchItem>& items,
                                       const std::string& mark) const = 0;
  struct Sought {
    std::string mark;
    std::size_t requests;
    std::chrono::sys_seconds since;
    std::vector<std::string> others;  ///< ids that are known to be other batches
  };
  /// A batch that was submitted by a process which died before it heard of the id; none = there is no such.
  virtual expected<std::optional<std::string>> find(const Context& c, const Sought& sought) const = 0;
  virtual expected<BatchLook> look(const Context& c, const std::string& id) const = 0;
  /// None where the line is no result.
  virtual std::optional<BatchResult> read(std::string_view line, const std::string& endpoint) const = 0;
};

/// Immutable, shared.
const BatchApi& batch_api_of(HttpApi api);

/// The body of a single request as one of a batch.
std::string batch_body(const std::string& post_body);

}  // namespace frugal::http

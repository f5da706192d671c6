// CachePlan: what one request says to a provider's prompt cache, and what is expected of it. Made before the request is
// sent, settled by what was billed. Plain values.
#pragma once

#include <frugal/core/request.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace frugal::http {

struct CacheMark {
  std::size_t message;  ///< the beginning ends with it
  CacheTtl ttl = CacheTtl::minutes5;
};

/// A place at which a message ends, in the order in which the provider sees them.
struct CachePlace {
  std::size_t message;
  std::uint64_t hash;   ///< of everything up to there
  std::uint64_t bytes;  ///< up to there
  std::size_t blocks;   ///< content blocks up to there
  bool marked = false;  ///< by the plan, after `marks` were chosen
};

struct CachePlan {
  std::vector<CacheMark> marks{};     ///< in the provider's order
  std::string key{};                  ///< prompt_cache_key, or empty
  std::vector<CachePlace> places{};   ///< empty = nothing is expected
  std::uint64_t expected_bytes = 0;   ///< of the longest beginning that should be read
  std::uint64_t expected_tokens = 0;  ///< of it, where an earlier bill told them; 0 = by its share of the bytes
  std::string type{};

  /// The mark of this message, or null.
  const CacheMark* mark_of(std::size_t message) const {
    for (const CacheMark& mark : marks)
      if (mark.message == message) return &mark;
    return nullptr;
  }
};

/// The marks alone, for requests without a history: the caller's last cache points, as many as the API takes.
CachePlan plain_plan(const Request& request, const HttpOptions& options);

/// The server is OpenAI's, or said to take its fields.
bool takes_cache_key(const HttpOptions& options);
/// And the model takes breakpoints.
bool takes_breakpoints(const HttpOptions& options);

}  // namespace frugal::http

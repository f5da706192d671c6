// Where the beginnings of a chat end, as a provider's cache sees them. Stateless.
#pragma once

#include <frugal/core/request.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <cstddef>
#include <string>
#include <vector>

#include "http/cache_plan.hpp"

namespace frugal::http {

/// One for each message, in the provider's order; none for a prompt that is no chat.
std::vector<CachePlace> places_of(const Request& request, const HttpOptions& options);
/// Places whose messages are cache points, rising. A message that cannot carry a mark hands it to the one before it.
std::vector<std::size_t> wanted_marks(const Chat& chat, const std::vector<CachePlace>& places, HttpApi api);
/// The last `most` of them, because they cover the most.
std::vector<std::size_t> last_marks(std::vector<std::size_t> wanted, std::size_t most);
/// How many marks one request may carry.
std::size_t most_marks(const HttpOptions& options);
/// prompt_cache_key for a server that takes one (takes_cache_key). `wanted`: all wanted_marks.
std::string cache_key(const Request& request, const std::vector<CachePlace>& places,
                      const std::vector<std::size_t>& wanted, const HttpOptions& options);

}  // namespace frugal::http

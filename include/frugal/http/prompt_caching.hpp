// Prompt caching at a provider: how an HttpEndpoint marks the beginnings that are sent again, and what came of it. Plain
// values. docs/remote.md has the rules of each provider.
#pragma once

#include <frugal/config.hpp>
#include <frugal/meter/price_book.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace frugal {

/// How long Anthropic keeps what was marked, counted from its last use.
enum class CacheTtl : std::uint8_t { minutes5, hour };

struct HttpCaching {
  /// Message::cache_point becomes the API's own mark (Anthropic's cache_control; a prompt_cache_breakpoint of OpenAI's from
  /// GPT-5.6 on), at most as many as it takes. False: nothing is marked, and nothing is expected or reported.
  bool on = true;
  /// Anthropic: none = chosen for each beginning by what its uses so far would have cost with either.
  std::optional<CacheTtl> ttl{};
  /// Send prompt_cache_key, and breakpoints to models that take them. None = where the url is OpenAI's own or Azure's;
  /// other servers may refuse a field that they do not know.
  std::optional<bool> openai_fields{};
  PriceBook prices = PriceBook::built_in();  ///< what writes and reads cost; 1.25, 2 and 0.1 inputs without a price
  std::size_t most_prefixes = std::size_t{1} << 14U;  ///< beginnings that are remembered, some 150 bytes each
};

/// What was to be read from a provider's cache, and what was billed, of the requests of one type that were answered. A
/// read is expected where a beginning was billed as written or read before, within its time to live.
struct HttpCacheReport {
  std::string type{};                                                  ///< Request::type; beyond 256 types "(other)"
  std::uint64_t requests = 0;                                          ///< whose usage the provider reported
  std::uint64_t expected_read = 0, billed_read = 0, billed_write = 0;  ///< tokens
  std::uint64_t missed = 0;  ///< requests that were to read, and were billed for less than half of it
  /// Anthropic: requests whose marked beginning is long enough, and for which neither a write nor a read was billed.
  std::uint64_t ignored = 0;
  /// Requests whose marked or repeated beginning lies at most a quarter below the provider's least length, and by how
  /// many tokens the last of them did. An estimate: the prompt's tokens, by the beginning's share of its bytes.
  std::uint64_t too_short = 0, lacks = 0;
  std::uint64_t least_tokens = 0;  ///< that length
};

}  // namespace frugal

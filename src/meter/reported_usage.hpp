// ReportedUsage: token counts as the APIs of providers name them, and what they add up to in our terms. Providers count
// in different ways: some leave cached tokens out of the prompt, some leave reasoning out of the answer.
#pragma once

#include "meter/json_cursor.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::meter {

/// Most tokens of one prompt or one answer, and most passes or rows of one request, that are believed.
inline constexpr std::uint64_t most_count = 10'000'000'000;

/// A count that is not above `most_count`; a larger one is a fault, most likely a negative number that was cast.
std::uint64_t read_count(JsonCursor& cursor);

struct ReportedUsage {
  std::optional<std::uint64_t> prompt{}, tool_prompt{}, output{};
  std::optional<std::uint64_t> cached_read{}, cache_write{}, cache_write_5m{}, cache_write_1h{}, reasoning{}, total{};
  std::string service_tier{};
  std::vector<std::string> unread{};  ///< fields that may count tokens and that nobody here reads; at most 8
  bool is_input = false;              ///< the prompt was called input_tokens
  bool cache_apart = false;           ///< named as by Anthropic or Bedrock: cached tokens may not be part of the prompt
  bool reasoning_apart = false;       ///< named as by Gemini: reasoning is not part of the answer

  /// Reads the value where `key` is one of a provider's names; false, and nothing read, where it is not. `key` may
  /// point into the cursor.
  bool read(std::string_view key, JsonCursor& cursor) { return read(key, cursor, 0); }

  /// Skips the value of an unknown field; its name is kept where it holds a count of tokens above 0.
  void pass_over(std::string_view key, JsonCursor& cursor);

  // In our terms; meaningful once the whole line is read.
  std::uint64_t whole_prompt() const;
  std::uint64_t whole_output() const;
  std::optional<std::uint64_t> whole_cache_write() const;

 private:
  bool read(std::string_view key, JsonCursor& cursor, int depth);
  void read_members(JsonCursor& cursor, int depth);
  bool leaves_cache_out() const;
};

}  // namespace frugal::meter

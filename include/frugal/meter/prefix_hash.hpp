// Hashes of token sequences for traces: equal prefixes have equal hashes, and nothing of the text can be read from them
// that was not guessed before. Not cryptographic. Stateless; about 2 ns a token.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/ids.hpp>
#include <frugal/core/request.hpp>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace frugal {

/// [tokens.size() / 16] hashes below 2^63; number n covers `salt` and the tokens [0, 16 (n + 1)).
FRUGAL_API std::vector<std::uint64_t> prefix_blocks(std::span<const Token> tokens, std::string_view salt = {});

/// A hash that grows with a sequence and does not depend on how it was cut into pieces.
class FRUGAL_API RunningHash {
 public:
  void add(std::span<const Token> tokens);
  void add(std::string_view bytes);
  std::uint64_t value() const;  ///< below 2^63

 private:
  std::uint64_t state_ = 0x9e3779b97f4a7c15ULL;
};

/// Equal for the same question: the prompt's tokens (its text and tools where they are not known), the sampling
/// (without what greedy choice ignores), and what ends the answer.
FRUGAL_API std::uint64_t question_hash(const Request& request, std::span<const Token> prompt = {});

}  // namespace frugal

// Habits: how a model spells bytes that are forced. A tokenizer's own spelling is not always the one a model draws where
// every spelling is allowed: many write {, then ", though there is a token for both. What was drawn once is the guess for
// the next time the same bytes are forced. Guesses are verified as drafts, so they cost time where they are wrong, and
// never change an answer. One thread.
#pragma once

#include <frugal/core/ids.hpp>

#include <cstddef>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace frugal::grammar {

class Habits {
 public:
  /// Bytes that were forced before a step, whose tokens are still to come.
  struct Open {
    std::size_t step;
    std::string forced;
  };

  /// Null where the bytes are new.
  const std::vector<Token>* find(const std::string& forced) const {
    const auto at = known_.find(forced);
    return at == known_.end() ? nullptr : &at->second;
  }
  /// The tokens that lie within the forced bytes.
  void keep(const std::string& forced, std::vector<Token> tokens) {
    if (bytes_ > kMostBytes) known_.clear(), bytes_ = 0;
    bytes_ += forced.size() + tokens.size() * sizeof(Token) + 96;
    known_[forced] = std::move(tokens);
  }
  std::size_t memory() const { return bytes_; }

 private:
  static constexpr std::size_t kMostBytes = std::size_t{1} << 20;
  std::unordered_map<std::string, std::vector<Token>> known_;
  std::size_t bytes_ = 0;
};

}  // namespace frugal::grammar

// VocabularyBridge: a draft model with another tokenizer than its target (Timor et al., ICML 2025). Greedy drafts cross
// as text and are tokenised again; random ones are drawn from the tokens both vocabularies have, so that their
// distribution is known in the target's own tokens.
//
// VocabularyBridge is immutable and shared between sequences; a Translation belongs to one sequence and one thread.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/ids.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace frugal {

class Tokenizer;

class FRUGAL_API VocabularyBridge {
 public:
  /// Compares the two once, O(vocabulary). Both must outlive the bridge. Throws Error(unsupported) where they share no
  /// token.
  VocabularyBridge(const Tokenizer& target, const Tokenizer& draft);
  ~VocabularyBridge();
  VocabularyBridge(const VocabularyBridge&) = delete;
  VocabularyBridge& operator=(const VocabularyBridge&) = delete;

  const Tokenizer& target() const noexcept;
  const Tokenizer& draft() const noexcept;
  /// The target's token of the same bytes and kind, -1 = none. End tokens meet end tokens.
  Token to_target(Token draft) const noexcept;
  /// Bit t of word t/32: the draft's token t has a counterpart. As DrawSpec::mask.
  std::span<const std::uint32_t> shared() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

class FRUGAL_API Translation {
 public:
  explicit Translation(const VocabularyBridge& bridge);
  ~Translation();
  Translation(Translation&&) noexcept;
  Translation& operator=(Translation&&) noexcept;

  /// More of the target's accepted tokens, the prompt first.
  void learn(std::span<const Token> target);
  /// Everything learned, as the draft model sees it. A later learn() may rewrite its end: keys and values hold as far
  /// as the tokens are equal.
  const std::vector<Token>& context() const noexcept;
  /// Appends the target's tokens for what the draft model wrote after context(), through text, and an end token where
  /// it wrote one. Returns how many of them are final: more text from the draft model could still change the others,
  /// which are good drafts too where the last word happens to be whole.
  std::size_t to_target(std::span<const Token> drafted, std::vector<Token>& out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace frugal

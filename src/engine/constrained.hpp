// Constrained: the Constraint of one answer in the engine's loop. Between steps it stands behind the accepted tokens.
// Within a step it walks ahead along the drafts, gives the mask for the draw after each, and comes back.
//
// Whatever the host's constraint throws becomes Error(policy) with the source's name. Driving thread only, but for the
// constructor.
#pragma once

#include <frugal/core/constraint.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/ids.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/drafts.hpp"

namespace frugal {

struct ModelSlot;

class Constrained {
 public:
  /// Opens the source for an answer of this model. Errors: unsupported (a model without a tokenizer), what open() says,
  /// policy (it threw, or gave nothing).
  static expected<std::unique_ptr<Constrained>> open(std::shared_ptr<const ConstraintSource> source,
                                                     const ModelSlot& slot);

  /// Appends tokens that must follow here, at most so many; tokens that the model does not have end them.
  void forced(std::uint32_t most, std::vector<Token>& out);
  /// The mask for the draw after the first `drafts` drafts of the chain. Valid until rewind(). Asked in ascending order,
  /// with follow() for each draft between.
  std::span<const std::uint32_t> mask(std::uint32_t drafts);
  /// Walks over the next draft. False: it is not allowed, or ends the answer, which only the model's own draw may do.
  bool follow(Token draft);
  /// Drafts walked over so far.
  std::uint32_t ahead() const noexcept { return ahead_; }
  /// Walks to the end of the chain; cuts it before the first draft that is not allowed. Afterwards there is a mask for
  /// each of its draws.
  void check(Chain& chain);
  /// Back to the accepted tokens. Masks end here.
  void rewind();

  /// The answer has one token more, drawn under the mask; end tokens are not told. True: nothing may follow it.
  bool accept(Token token);
  /// Why nothing could be drawn: the constraint's fault where its mask allowed no token.
  bool allowed_any(std::uint32_t draw) const;
  Error dead_end() const;

 private:
  Constrained(std::shared_ptr<const ConstraintSource> source, std::unique_ptr<Constraint> running,
              const ModelSlot& slot);
  void set_ends(std::span<std::uint32_t> words) const;
  template <class F>
  decltype(auto) named(F f) const;

  std::shared_ptr<const ConstraintSource> source_;
  std::unique_ptr<Constraint> running_;
  const ModelSlot& slot_;
  std::size_t words_;                 // of one mask
  std::uint32_t ahead_ = 0;           // drafts walked over
  std::vector<std::uint32_t> masks_;  // [ready][words_], ready masks: after 0, 1, .. drafts
  std::uint32_t ready_ = 0;
};

}  // namespace frugal

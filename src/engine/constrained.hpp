// Constrained: the Constraint of one answer in the engine's loop. Between steps it stands behind the accepted tokens.
// Within a step it walks ahead along the drafts, gives the mask for the draw after each, and comes back.
//
// Whatever the host's constraint throws becomes Error(policy) with the source's name. Driving thread only, but for the
// constructor.
#pragma once

#include <frugal/core/constraint.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/ids.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
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

  /// Request::close_when_short, before the first token: the document must end within so many tokens. Errors: unsupported
  /// (the constraint knows no way to end its documents), invalid_argument (the shortest one it knows is longer).
  expected<void> close_within(std::uint32_t budget);
  /// The budget has become smaller. Where no document fits it, the answer goes on as if it need not.
  void shorten(std::uint32_t budget) noexcept { budget_ = std::min(budget_, budget); }
  /// How many of the tokens, drawn one after the other from the accepted ones on, leave enough of the budget to end the
  /// document. Where it is not all of them, the next one is to be drawn again: from then on masks allow only tokens
  /// that do. Goes back to the accepted tokens.
  std::uint32_t keep(std::span<const TokenScore> drawn);

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
  /// The newest accepted token is cut off again.
  void drop_newest();
  /// What is known of the text of an answer of so many tokens, which is whole only where it was not `cut` before its
  /// end.
  std::optional<DocumentReport> report(std::uint32_t tokens, bool cut) noexcept;
  /// Why nothing could be drawn: the constraint's fault where its mask allowed no token.
  bool allowed_any(std::uint32_t draw) const;
  Error dead_end() const;

 private:
  Constrained(std::shared_ptr<const ConstraintSource> source, std::unique_ptr<Constraint> running,
              const ModelSlot& slot);
  void set_ends(std::span<std::uint32_t> words) const;
  template <class F>
  decltype(auto) named(F f) const;
  std::uint32_t left() const { return budget_ - std::min(budget_, accepted_); }
  void walk_back();
  bool begin_closing(std::uint32_t kept);
  void step_along(Token token);
  void write_mask(std::uint32_t drafts, std::span<std::uint32_t> words);

  std::shared_ptr<const ConstraintSource> source_;
  std::unique_ptr<Constraint> running_;
  const ModelSlot& slot_;
  std::size_t words_;                 // of one mask
  std::uint32_t ahead_ = 0;           // drafts walked over
  std::vector<std::uint32_t> masks_;  // [ready][words_], ready masks: after 0, 1, .. drafts
  std::uint32_t ready_ = 0;

  // Closing. Until the first draw that leaves too little of the budget, draws are only looked at; from then on masks are
  // narrow, and `way_` is a way from the accepted tokens to the end that fits.
  std::uint32_t budget_ = ~0U, accepted_ = 0;
  bool watching_ = false;
  std::optional<std::uint32_t> narrow_from_{};  // accepted tokens before the first narrow mask
  std::vector<Token> way_{};
  bool on_way_ = true;  // the drafts walked over so far are the way's first ones
};

}  // namespace frugal

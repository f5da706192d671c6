// Constraint: what an answer may look like, token by token. A request carries a ConstraintSource; every answer opens a
// Constraint of its own from it. Bring your own to enforce a format; frugal/grammar has JSON Schema, regex and grammars.
//
// The engine asks mask() before each draw and tells advance() what was drawn. Drafts are checked the same way: it
// advances along the chain, takes a mask at each place, and rolls back what the model did not accept.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/ids.hpp>
#include <frugal/fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

/// Where a constraint stands after the tokens it has taken.
enum class ConstraintState : std::uint8_t {
  open,      ///< the text is not a whole document yet: an end token is not allowed
  complete,  ///< the text is a whole document, and may go on: end tokens are allowed
  finished,  ///< the text is a whole document and nothing may follow: the engine ends the answer with `stop`
};

/// What a constraint that could not enforce all that was asked for says of a whole document.
struct DocumentVerdict {
  std::optional<bool> valid{};  ///< none: not known
  std::string why{};            ///< what was not met or could not be judged; empty where valid
};

/// The running constraint of one answer. Used by one thread at a time, not always the same one. A call that throws ends
/// the answer with Errc::policy and the source's name.
class FRUGAL_API Constraint {
 public:
  virtual ~Constraint();

  /// Writes the tokens that may come next: bit t % 32 of word t / 32 is set where token t is allowed. `words` holds
  /// (vocabulary + 31) / 32 words, all of which are written. End tokens are allowed where state() is not `open`.
  virtual void mask(std::span<std::uint32_t> words) = 0;

  /// Takes the next token. False: the token is not allowed here, and nothing has changed. End tokens are never passed.
  virtual bool advance(Token token) = 0;

  /// Undoes the last `tokens` calls of advance() that returned true. Cost: independent of the length of the answer.
  virtual void rollback(std::size_t tokens) = 0;

  virtual ConstraintState state() const = 0;

  /// Appends up to `most` tokens that must follow here whatever the model thinks, spelled as the tokenizer would spell
  /// them in this text. They are verified as drafts, so a wrong one costs time and never changes the answer. Leaves the
  /// constraint as it was. Default: none.
  virtual void forced(std::size_t most, std::vector<Token>& out);

  /// For Request::close_when_short. True: at most `most` more tokens make a whole document of the text; where `way` is
  /// not null, they are appended (none where the text is whole). False: no such way is known. Asked after each draw, so
  /// it should be cheap without a way. Leaves the constraint as it was. Default: false, so the request is refused.
  virtual bool closes(std::size_t most, std::vector<Token>* way);

  /// As mask(), without the tokens after which closes(most - 1, nullptr) is false. Asked before each draw once the
  /// budget is nearly used up. Default: mask(), and then each of its tokens is tried.
  virtual void closing_mask(std::size_t most, std::span<std::uint32_t> words);

  /// Asked once, when the answer has ended with a whole document. None: the masks have enforced all that was asked for.
  /// Default: none.
  virtual std::optional<DocumentVerdict> judge();
};

/// A compiled constraint, shared by requests. Immutable; open() is safe from any thread.
class FRUGAL_API ConstraintSource {
 public:
  virtual ~ConstraintSource();
  /// A short name for errors and reports, e.g. "json_schema".
  virtual std::string_view name() const = 0;
  /// A constraint at the start of an answer in this tokenizer's vocabulary. Called once an attempt, on the thread that
  /// submits. An error refuses the request. The tokenizer outlives the constraint.
  virtual expected<std::unique_ptr<Constraint>> open(const Tokenizer& tokenizer) const = 0;
};

}  // namespace frugal

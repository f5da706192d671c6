// Alphabet: how characters are spelled in bytes. Plain text is UTF-8. Inside a JSON string a character may be spelled in
// more than one way; all spellings of a character are always in a set together, so that the complement of a set of
// strings is right as well.
#pragma once

#include "grammar/expr/store.hpp"
#include "grammar/regex/code_points.hpp"

#include <string>

namespace frugal::grammar {

class Alphabet {
 public:
  enum class Spelling : std::uint8_t {
    utf8,
    /// As JSON writers do: ASCII that needs no escape is written as it is, all else also as \uXXXX.
    json
  };
  Alphabet(ExprStore& store, Spelling spelling);

  ExprStore& store() const { return store_; }
  /// One character of the set.
  ExprId one_of(const CodePoints& set) const;
  ExprId any() const { return any_; }           ///< one character
  ExprId any_text() const { return text_; }     ///< characters up to the end, with the end
  ExprId end() const { return end_; }           ///< the closing quote of a JSON string; nothing in plain text
  ExprId literal(std::string_view utf8) const;  ///< the text, without the end
  bool ends(ExprId e) const;                    ///< `e` allows the end at once

 private:
  ExprStore& store_;
  Spelling spelling_;
  ExprId end_, any_, text_;
};

/// One character inside a JSON string in any spelling that RFC 8259 allows (no lone surrogates).
ExprId json_character(ExprStore& store);

/// The text as JSON writers spell it inside quotes, without them. `ascii`: non-ASCII characters as \uXXXX.
std::string json_spelling(std::string_view utf8, bool ascii);

}  // namespace frugal::grammar

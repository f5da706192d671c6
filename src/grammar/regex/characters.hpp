// PatternCharacters: reads a pattern's characters, escapes, classes and brackets, from left to right. The parser of
// groups and quantifiers is built on it.
#pragma once

#include "grammar/regex/code_points.hpp"
#include "grammar/regex/tree.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace frugal::grammar {

class PatternCharacters {
 protected:
  PatternCharacters(std::string_view text, RegexSyntax syntax) : text_(text), re2_(syntax == RegexSyntax::re2) {}

  [[noreturn]] void fail(std::string what) const;
  bool more() const { return at_ < text_.size(); }
  bool take(std::string_view what);
  char next(const char* what);  ///< `what` says where the pattern must not end

  std::uint32_t character();
  /// The class that an escape with this letter stands for, e.g. \d; none where it is no class.
  std::optional<CodePoints> class_of(char c);
  /// The character that an escape stands for; `c` is what follows the backslash.
  std::uint32_t escaped(char c);
  /// From a [ on.
  CodePoints bracket(bool ignore_case);
  /// With the other case of each letter.
  CodePoints folded(CodePoints set) const;

  std::string_view text_;
  bool re2_;
  std::size_t at_ = 0;

 private:
  CodePoints property();
  std::uint32_t hex_value();
  std::uint32_t hex(int count);
  std::uint32_t hex_to_brace();
  std::uint32_t utf16();
  /// A character, or none where it was a class, which is added to `set`.
  std::optional<std::uint32_t> member(CodePoints& set);
  CodePoints posix();
};

}  // namespace frugal::grammar

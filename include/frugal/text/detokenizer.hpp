// Detokenizer: tokens in one by one, whole UTF-8 characters out. Bytes of an unfinished character are held back; bytes
// that can never become one come out as U+FFFD, as Python's errors="replace" does. One per answer; not thread-safe.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/ids.hpp>

#include <string>

namespace frugal {

class Tokenizer;

class FRUGAL_API Detokenizer {
 public:
  /// The tokenizer must outlive this. keep_special: control tokens appear as their literal text. An answer goes on where
  /// the prompt ended, so its leading space is text; with continues = false it goes as Tokenizer::decode lets it go.
  explicit Detokenizer(const Tokenizer& tokenizer, bool keep_special = false, bool continues = true);
  /// Adds one token; returns the characters that became whole (possibly none).
  std::string push(Token token);
  /// Ends the text: what was held back comes out, U+FFFD in place of unfinished characters.
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  bool keep_special_;
  bool drop_space_;  // the next byte, if it is a space
  std::string held_;
};

}  // namespace frugal

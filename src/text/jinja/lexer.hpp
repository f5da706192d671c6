// The lexer: template text to tokens, with the white-space rules of trim_blocks and lstrip_blocks, of {%- -%} and {%+
// +%}. Pure; linear in the source.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::jinja {

/// Set-up stops here: `unsupported` for Jinja that exists and we lack, otherwise a mistake in the template.
struct SyntaxError {
  std::string message;
  int line = 0;
  bool unsupported = false;
};

enum class TokenKind { data, output_begin, output_end, block_begin, block_end, name, text, integer, real, op, end };

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;  ///< the literal with escapes resolved, a name, an operator, or digits without underscores
  int line = 0;
};

/// Throws SyntaxError. The last token is `end`.
std::vector<Token> tokenize(std::string_view source);

}  // namespace frugal::jinja

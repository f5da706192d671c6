// The parser: tokens to a tree, with jinja2's precedence. Throws SyntaxError; depth of nesting is bounded.
#pragma once

#include <string_view>

#include "text/jinja/ast.hpp"
#include "text/jinja/lexer.hpp"

namespace frugal::jinja {

Block parse(std::string_view source);

}  // namespace frugal::jinja

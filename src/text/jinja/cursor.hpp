// Cursor: the parser's place in the tokens, and the bound on its recursion.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/lexer.hpp"

namespace frugal::jinja {

/// Blocks in blocks, parentheses in parentheses and long chains of operators end here.
inline constexpr std::uint32_t kMaxTreeDepth = 250;

class Cursor {
 public:
  explicit Cursor(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& take() {
    const Token& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  int line() const { return peek().line; }
  std::size_t position() const { return at_; }
  /// True where the name `word` was read since `from`.
  bool names(std::string_view word, std::size_t from) const {
    for (std::size_t i = from; i < at_; ++i) {
      if (tokens_[i].kind == TokenKind::name && tokens_[i].text == word) return true;
    }
    return false;
  }

  bool is(TokenKind kind) const { return peek().kind == kind; }
  bool is_op(std::string_view op, std::size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::op && peek(ahead).text == op;
  }
  bool is_word(std::string_view word, std::size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::name && peek(ahead).text == word;
  }
  bool accept_op(std::string_view op) { return is_op(op) && (take(), true); }
  bool accept_word(std::string_view word) { return is_word(word) && (take(), true); }
  void expect_op(std::string_view op) {
    if (!accept_op(op)) error("expected '" + std::string(op) + "', found " + describe());
  }
  void expect_word(std::string_view word) {
    if (!accept_word(word)) error("expected '" + std::string(word) + "', found " + describe());
  }
  void expect(TokenKind kind, std::string_view what) {
    if (!is(kind)) error("expected " + std::string(what) + ", found " + describe());
    take();
  }
  std::string expect_name() {
    if (!is(TokenKind::name)) error("expected a name, found " + describe());
    return take().text;
  }

  [[noreturn]] void error(std::string message) const { throw SyntaxError{std::move(message), line(), false}; }
  [[noreturn]] void unsupported(std::string construct) const { throw SyntaxError{std::move(construct), line(), true}; }

  std::string describe() const {
    switch (peek().kind) {
      case TokenKind::end:
        return "the end of the template";
      case TokenKind::output_end:
        return "'}}'";
      case TokenKind::block_end:
        return "'%}'";
      case TokenKind::data:
        return "text";
      default:
        return "'" + peek().text + "'";
    }
  }

  /// Counts one level of recursion for as long as it lives.
  class Level {
   public:
    explicit Level(Cursor& cursor) : cursor_(cursor) {
      if (++cursor_.level_ > kMaxTreeDepth) cursor_.error("nested too deeply");
    }
    ~Level() { --cursor_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Cursor& cursor_;
  };

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::uint32_t level_ = 0;
};

}  // namespace frugal::jinja

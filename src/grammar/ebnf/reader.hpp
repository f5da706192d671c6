// EbnfReader: what both spellings of a grammar have in common: alternatives of sequences of items that may be repeated.
// A spelling says what an item is, where a sequence ends, and how it writes bounds, names and comments.
#pragma once

#include "grammar/ebnf/tree.hpp"

#include <optional>

namespace frugal::grammar {

class EbnfReader {
 public:
  EbnfReader(std::string_view text, Program& program)
      : text_(text), program_(program), alphabet_(program.store, Alphabet::Spelling::utf8) {}
  virtual ~EbnfReader() = default;
  EbnfReader(const EbnfReader&) = delete;
  EbnfReader& operator=(const EbnfReader&) = delete;

 protected:
  virtual EbnfNode atom() = 0;
  /// What stands between items is passed over; nothing more of this sequence comes.
  virtual bool sequence_ends() = 0;
  virtual bool next_alternative() { return take("|"); }
  /// Bounds of a repeat in the spelling's own signs.
  virtual bool bounds(std::uint32_t& least, std::uint32_t& most) = 0;
  virtual bool is_name(char c) const = 0;
  virtual bool comment_begins() const { return peek() == '#'; }

  EbnfNode alternatives();
  std::string name();
  std::optional<std::uint32_t> number();
  void blanks(bool lines);

  [[noreturn]] void fail(const std::string& what) const { ebnf_fault(text_, at_, what); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool take(std::string_view what) {
    if (!text_.substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }
  void add_rule(Ebnf& grammar, const std::string& rule, std::size_t at) {
    if (!grammar.rules.emplace(rule, alternatives()).second)
      ebnf_fault(text_, at, "the rule " + rule + " is there twice");
  }

  std::string_view text_;
  Program& program_;
  Alphabet alphabet_;
  std::size_t at_ = 0, depth_ = 0;

 private:
  EbnfNode sequence();
  bool repeat(EbnfNode& item);

  std::size_t repeats_ = 0;
};

}  // namespace frugal::grammar

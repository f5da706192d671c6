// Automaton: a constraint written against the public header only. Its answers are records of two letters, "{ab}\n", one
// after the other; the second letter must not be the first one. After `least` records the answer may end, after `most` it
// must.
#pragma once

#include <frugal/core/constraint.hpp>
#include <frugal/core/error.hpp>
#include <frugal/text/tokenizer.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace frugal::testing {

struct AutomatonOptions {
  std::size_t least = 2, most = 6;
  bool tells_forced = true;
  bool tells_ways = true;
  std::size_t dead_after = ~std::size_t{0};    ///< tokens after which nothing is allowed
  std::size_t throws_after = ~std::size_t{0};  ///< tokens after which mask() throws an int
};

class Automaton final : public Constraint {
 public:
  explicit Automaton(const AutomatonOptions& options) : options_(options) {}

  void mask(std::span<std::uint32_t> words) override {
    if (taken_.size() >= options_.throws_after) throw 42;
    std::fill(words.begin(), words.end(), 0U);
    if (taken_.size() >= options_.dead_after) return;
    for (Token t = 0; t < 256; ++t)
      if (allowed(t)) words[static_cast<std::size_t>(t) / 32] |= std::uint32_t{1} << (t % 32);
  }
  bool advance(Token token) override {
    if (!allowed(token)) return false;
    taken_.push_back(token);
    return true;
  }
  void rollback(std::size_t tokens) override {
    if (tokens > taken_.size()) throw Error(Errc::internal, "rolled back too far");
    taken_.resize(taken_.size() - tokens);
  }
  ConstraintState state() const override {
    if (taken_.size() == 5 * options_.most) return ConstraintState::finished;
    const bool whole = taken_.size() % 5 == 0 && taken_.size() >= 5 * options_.least;
    return whole ? ConstraintState::complete : ConstraintState::open;
  }
  void forced(std::size_t most, std::vector<Token>& out) override {
    if (!options_.tells_forced) return;
    for (std::size_t place = taken_.size(); most > 0; --most, ++place) {
      const bool may_end = place % 5 == 0 && place >= 5 * options_.least;
      const char* const only = place % 5 == 0 ? "{" : place % 5 == 3 ? "}" : place % 5 == 4 ? "\n" : nullptr;
      if (only == nullptr || may_end || place == 5 * options_.most) return;
      out.push_back(static_cast<unsigned char>(*only));
    }
  }
  bool closes(std::size_t most, std::vector<Token>* way) override {
    const std::size_t whole = std::max(5 * options_.least, (taken_.size() + 4) / 5 * 5);
    if (!options_.tells_ways || whole - taken_.size() > most) return false;
    std::vector<Token> text = taken_;
    while (way != nullptr && text.size() < whole) {
      const char next = "{aa}\n"[text.size() % 5];
      text.push_back(text.size() % 5 == 2 && text.back() == 'a' ? 'b' : static_cast<unsigned char>(next));
      way->push_back(text.back());
    }
    return true;
  }

 private:
  bool allowed(Token t) const {
    if (taken_.size() >= 5 * options_.most) return false;
    switch (taken_.size() % 5) {
      case 0:
        return t == '{';
      case 1:
        return t >= 'a' && t <= 'l';
      case 2:
        return t >= 'a' && t <= 'l' && t != taken_.back();
      case 3:
        return t == '}';
      default:
        return t == '\n';
    }
  }

  AutomatonOptions options_;
  std::vector<Token> taken_;
};

class AutomatonSource final : public ConstraintSource {
 public:
  explicit AutomatonSource(AutomatonOptions options = {}) : options_(options) {}
  std::string_view name() const override { return "records"; }
  expected<std::unique_ptr<Constraint>> open(const Tokenizer&) const override {
    return std::unique_ptr<Constraint>(std::make_unique<Automaton>(options_));
  }

 private:
  AutomatonOptions options_;
};

/// Whether these tokens are records, whole but for the last one.
inline bool is_records(std::span<const Token> answer, Token end) {
  Automaton automaton({.least = 0, .most = 1000});
  for (const Token t : answer)
    if (t != end && !automaton.advance(t)) return false;
  return true;
}

}  // namespace frugal::testing

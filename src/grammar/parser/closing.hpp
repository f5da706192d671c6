// Closing: a short text that makes a whole document of what a parser has read. For an answer whose budget runs out.
//
// For each value, list, object and rule of the program the shortest text is known, from those of what it holds (a fixed
// point, worked out at first use). What is missing in a state is then written from the inside out, along the frames. It
// is the shortest text but where items must differ or be contained and where members depend on each other; there it is
// tried on the parser, and if it does not fit, a bounded search looks for another one. One thread, that of the parser.
#pragma once

#include "grammar/expr/shortest.hpp"
#include "grammar/parser/parser.hpp"

#include <string>
#include <vector>

namespace frugal::grammar {

class Closing {
 public:
  explicit Closing(Parser& parser) : parser_(parser) {}

  struct Length {
    std::uint32_t bytes = kNoLength;
    bool certain = false;  ///< there is a text of that length; otherwise it may not fit
  };
  /// Of the text that is missing. Cost: a walk along the frames; no text is written.
  Length length(StateId state);
  /// Appends a text that completes the state's; false where none is found. `searches` is taken from where one had to be
  /// searched, which is not done at 0. What the parser tried is forgotten.
  bool write(StateId state, unsigned& searches, std::string& out);

 private:
  static constexpr std::uint32_t kMostBytes = 1U << 16;
  enum class Place : std::uint8_t { open, after, next };  ///< after the bracket, after a part, after a comma
  // What is written: its length always, the text where it is wanted.
  struct Draft {
    std::uint32_t bytes = 0;
    bool certain = true;
    std::string* out = nullptr;
    unsigned depth = 0;
    std::string current{};  ///< the name or item that the text is in the middle of, whole
    bool failed() const { return bytes == kNoLength; }
    void add(std::uint32_t more) { bytes = failed() || more > kMostBytes - bytes ? kNoLength : bytes + more; }
  };
  // How a value is ended soonest.
  struct Best {
    std::uint32_t bytes = kNoLength;
    enum class Kind : std::uint8_t { none, scalar, array, object } kind = Kind::none;
    std::uint32_t id = 0;
    bool certain = true;
  };

  void learn();
  bool improve();
  void thread(const Thread& t, Draft& d);
  void frames(std::uint32_t frame, Draft& d);
  void frame(const Frame& f, Draft& d);
  void lexeme(ExprId e, Draft& d);
  void text(std::string_view text, Draft& d);
  void value(ValueId value, Draft& d);
  void symbols(std::uint32_t production, std::uint32_t place, Draft& d);
  void rule(std::uint32_t rule, Draft& d);
  void list(const ArrayTable& table, Frame at, Place place, Draft& d);
  void different(ValueId value, std::vector<std::string>& used, Draft& d);
  std::string shortest(ExprId language);
  const ArrayTable::Choice* next_item(const ArrayTable& table, const Frame& at) const;

  struct Members {
    std::vector<std::pair<std::uint32_t, const ObjectTable::Choice*>> known{};
    std::uint32_t other = kNone;  ///< a class of names
    std::uint32_t others = 0;     ///< members of it
    const ObjectTable::Choice* choice = nullptr;
  };
  void known_name(const Thread& t, Draft& d);
  void known_member(std::uint32_t object, const Progress& p, std::uint32_t member, Draft& d);
  void members(std::uint32_t object, Progress progress, Place place, Draft& d);
  bool choose(std::uint32_t object, const Progress& p, bool one_more, Members& out, Draft& d);
  void add_required(const ObjectTable& table, const Progress& p, Members& out, Draft& d) const;
  bool meet_obligations(std::uint32_t object, const Progress& p, Members& out);
  bool fill(std::uint32_t object, const Progress& p, std::uint32_t wanted, Members& out, Draft& d);
  std::uint32_t cheapest_class(const ObjectTable& table);
  const ObjectTable::Choice* cheapest(const std::vector<ObjectTable::Choice>& choices, std::uint32_t meets = 0) const;
  const std::string& name(std::uint32_t object, std::uint32_t member);
  std::uint32_t bytes_of(ValueId value) const { return best_[value].bytes; }

  bool fits(StateId state, std::string_view text);
  bool search(StateId state, std::string& out);

  Parser& parser_;
  ShortestTexts lexemes_;
  std::vector<Best> best_;                       // by value; empty: not known yet
  std::vector<std::uint32_t> rules_, by_;        // by rule: bytes, and the production that has them
  std::vector<std::vector<std::string>> names_;  // by object and member, as they are written
};

}  // namespace frugal::grammar

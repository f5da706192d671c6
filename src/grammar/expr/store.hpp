// ExprStore: regular expressions over bytes with intersection and complement, each stored once, and the automaton of
// their derivatives, built as far as it is walked (J. Brzozowski, Derivatives of Regular Expressions, 1964; S. Owens,
// J. Reppy, A. Turon, Regular-expression derivatives reexamined, 2009).
//
// An expression is its number; equal expressions (up to order, grouping and repetition of | and &) have equal numbers,
// so a state of the automaton is an expression and nothing is minimised. One thread. Copyable, so that running answers
// can start from what compiling has built. Costs beyond the limits throw Error(too_large).
#pragma once

#include "grammar/expr/byte_set.hpp"
#include "grammar/expr/counter.hpp"
#include "grammar/limits.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace frugal::grammar {

using ExprId = std::uint32_t;
constexpr ExprId kNothing = 0;     ///< the empty language
constexpr ExprId kEmptyText = 1;   ///< only the empty text
constexpr ExprId kEverything = 2;  ///< every text
constexpr std::uint32_t kUnbounded = ~0U;

class ExprStore {
 public:
  enum class Kind : std::uint8_t { nothing, empty_text, bytes, concat, any_of, all_of, complement, repeat, counter };
  struct Node {
    Kind kind = Kind::nothing;
    bool nullable = false;  ///< the empty text is in the language
    bool plain = false;     ///< made without &, ! and counters: every derivative but kNothing is live
    std::uint32_t a = 0, b = 0;
    std::uint64_t c = 0;  ///< repeat: least, most; counter: state
    std::uint32_t least() const { return static_cast<std::uint32_t>(c >> 32); }
    std::uint32_t most() const { return static_cast<std::uint32_t>(c); }
    bool operator==(const Node&) const = default;
  };

  explicit ExprStore(const Limits& limits = {});

  ExprId bytes(const ByteSet& set);
  ExprId byte(std::uint8_t b) { return bytes(ByteSet::one(b)); }
  ExprId literal(std::string_view text);
  ExprId concat(ExprId a, ExprId b);
  ExprId concat(std::initializer_list<ExprId> parts);
  ExprId any_of(std::vector<ExprId> parts);
  ExprId all_of(std::vector<ExprId> parts);
  ExprId complement(ExprId a);
  ExprId repeat(ExprId a, std::uint32_t least, std::uint32_t most);
  ExprId star(ExprId a) { return repeat(a, 0, kUnbounded); }
  ExprId optional(ExprId a) { return any_of({a, kEmptyText}); }
  ExprId counter(std::shared_ptr<const Counter> counter);

  const Node& node(ExprId e) const { return nodes_[e]; }
  std::span<const ExprId> parts(ExprId e) const { return {pool_.data() + nodes_[e].a, nodes_[e].b}; }
  const ByteSet& set(ExprId e) const { return sets_[nodes_[e].a]; }
  bool accepts(ExprId e) const { return nodes_[e].nullable; }

  /// The derivative by `b`: the texts that may follow it; kNothing where there is none. Remembered.
  ExprId step(ExprId e, std::uint8_t b) {
    const std::uint32_t row = row_of_[e];
    if (row != 0) {
      const ExprId next = rows_[std::size_t{row} * 256 + b];
      if (next != kUnknown) return next;
    }
    return step_slowly(e, b);
  }
  ExprId run(ExprId e, std::string_view text);
  bool contains(ExprId e, std::string_view text) { return accepts(run(e, text)); }
  /// The language has at least one text. Cost: a search through the automaton where & or ! are in it.
  bool live(ExprId e);
  /// The language has infinitely many texts, or so many that it makes no difference.
  bool endless(ExprId e);
  /// All of its texts; none where there are more than `most`.
  std::optional<std::vector<std::string>> texts(ExprId e, std::size_t most);
  /// The bytes a text of the language may begin with.
  ByteSet first_bytes(ExprId e);

  std::size_t size() const { return nodes_.size(); }
  std::size_t memory() const;

 private:
  static constexpr ExprId kUnknown = ~0U;
  enum class Life : std::uint8_t { unknown, live, dead };
  struct Step {
    ExprId to = kNothing;
    ByteSet like{};  ///< the bytes with the same derivative, as far as it is cheap to say
  };

  ExprId intern(const Node& node, std::span<const ExprId> parts = {});
  std::uint64_t hash(const Node& node, std::span<const ExprId> parts) const;
  bool same(ExprId e, const Node& node, std::span<const ExprId> parts) const;
  void grow_table();
  void drop_covered(std::vector<ExprId>& sorted) const;
  ExprId counter_at(std::uint32_t index, std::uint64_t state);
  Step derive(ExprId e, std::uint8_t b);
  Step derive_anew(ExprId e, std::uint8_t b);
  Step derive_concat(ExprId e, std::uint8_t b);
  Step derive_parts(ExprId e, std::uint8_t b);
  ExprId step_slowly(ExprId e, std::uint8_t b);
  void successors(ExprId e, std::vector<ExprId>& out);
  bool search(ExprId e);

  struct Derived {
    ExprId from = kNothing;
    std::uint8_t byte = 0;
    Step step{};
  };

  Limits limits_;
  std::vector<Derived> derived_;  // derivatives of late, of parts too; by a hash, newer ones in place of older ones
  std::vector<Node> nodes_;
  std::vector<ExprId> pool_;  // parts of any_of and all_of
  std::vector<ByteSet> sets_;
  std::vector<std::shared_ptr<const Counter>> counters_;
  std::size_t counter_bytes_ = 0;
  std::vector<std::uint32_t> table_;   // open addressing; 0 = free, else id + 1
  std::vector<std::uint32_t> row_of_;  // by expression; 0 = no row yet
  std::vector<ExprId> rows_;           // [rows, 256]: derivatives, dead ones already kNothing
  std::vector<Life> life_;             // by expression
  std::unordered_map<ExprId, bool> endless_;
};

}  // namespace frugal::grammar

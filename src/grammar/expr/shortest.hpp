// ShortestTexts: the shortest way from a state of an automaton to one that accepts. What was found is kept by state, the
// states on the way included, so that following the way costs a look-up a byte. One thread; always with the same store.
#pragma once

#include "grammar/expr/store.hpp"

#include <string>
#include <unordered_map>

namespace frugal::grammar {

constexpr std::uint32_t kNoLength = ~0U;

class ShortestTexts {
 public:
  /// Bytes of the shortest text of `e`; kNoLength where none was found within the search limit. Cost: the first time, a
  /// breadth-first search.
  std::uint32_t length(ExprStore& store, ExprId e);
  /// Appends that text; length() must know it.
  void write(ExprStore& store, ExprId e, std::string& out);
  /// The same of the texts that are not empty.
  std::uint32_t length_of_more(ExprStore& store, ExprId e);
  void write_more(ExprStore& store, ExprId e, std::string& out);

 private:
  struct Way {
    std::uint32_t length = kNoLength;
    ExprId next = kNothing;
    std::uint8_t byte = 0;
  };
  Way search(ExprStore& store, ExprId from);

  static constexpr std::size_t kMostStates = 20'000;
  std::unordered_map<ExprId, Way> ways_;
};

}  // namespace frugal::grammar

// Counter: an automaton given as code, for languages whose automaton is too large to write down: the literals of an
// enum, numbers on one side of a bound, multiples of a number. Immutable.
#pragma once

#include "grammar/expr/byte_set.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace frugal::grammar {

class Counter {
 public:
  static constexpr std::uint64_t kDead = ~0ULL;

  virtual ~Counter() = default;
  virtual std::uint64_t start() const = 0;
  /// The state after `b`; kDead where no text of the language begins so.
  virtual std::uint64_t step(std::uint64_t state, std::uint8_t b) const = 0;
  virtual bool accepts(std::uint64_t state) const = 0;
  /// `state` accepts and nothing may follow.
  virtual bool ends(std::uint64_t) const { return false; }
  /// Bytes that lead from `state` to the same place as `b`; at least `b` itself.
  virtual ByteSet like(std::uint64_t, std::uint8_t b) const { return ByteSet::one(b); }
  /// True where every state but kDead can still reach an accepting one.
  virtual bool always_live() const { return false; }
  /// Where all texts of the language stand for one value: that value. Two counters of different values share no text.
  virtual std::string_view only_value() const { return {}; }
  /// What it costs in memory.
  virtual std::size_t bytes() const { return sizeof(*this); }
};

}  // namespace frugal::grammar

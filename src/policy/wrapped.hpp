// What all combinators check: an inner policy, a predicate and a number that make sense.
#pragma once

#include <frugal/core/error.hpp>

#include <string>
#include <utility>

namespace frugal {

/// The inner policy or callable, where there is one; else Error(invalid_argument) that names the combinator.
template <class T>
T present(T inner, const char* combinator) {
  if (!inner) throw Error(Errc::invalid_argument, std::string(combinator) + ": nothing to ask");
  return inner;
}

}  // namespace frugal

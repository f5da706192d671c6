// The generated tables, included by the sources that read them.
#pragma once

#include <cstdint>

namespace frugal::text {

struct ValueRange {
  std::int32_t first, last;
  std::uint8_t value;
};

/// One canonical step; second = 0 for a singleton; recomposes = 1 where normal form C puts it together again.
struct Decomposition {
  std::int32_t composite, first, second;
  std::uint8_t recomposes;
};

/// Every stride-th letter from `first` to `last` is so far from its other case.
struct CaseRange {
  std::int32_t first, last, stride, delta;
};
struct CaseText {
  std::int32_t letter;
  const char* to;
};

#include "text/unicode_tables.inc"

}  // namespace frugal::text

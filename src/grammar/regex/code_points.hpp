// CodePoints: a set of Unicode scalar values, as sorted ranges that do not touch. Surrogates are never members.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace frugal::grammar {

struct CodePoints {
  struct Range {
    std::uint32_t first, last;
    bool operator==(const Range&) const = default;
  };
  std::vector<Range> ranges;

  static CodePoints all();
  static CodePoints one(std::uint32_t c) { return of({{c, c}}); }
  static CodePoints of(std::vector<Range> ranges);  ///< in any order, may overlap

  CodePoints operator~() const;
  CodePoints operator|(const CodePoints& o) const;
  CodePoints operator&(const CodePoints& o) const;
  CodePoints operator-(const CodePoints& o) const { return *this & ~o; }
  bool empty() const { return ranges.empty(); }
  bool has(std::uint32_t c) const;
};

/// Letters of either case; only ASCII ones have another case here.
CodePoints fold_ascii_case(const CodePoints& set);

}  // namespace frugal::grammar

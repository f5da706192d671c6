#include "grammar/regex/code_points.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {
constexpr std::uint32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF, kLast = 0x10FFFF;
}

CodePoints CodePoints::all() { return {{{0, kFirstSurrogate - 1}, {kLastSurrogate + 1, kLast}}}; }

CodePoints CodePoints::of(std::vector<Range> ranges) {
  std::vector<Range> whole;  // without surrogates
  for (const Range& r : ranges) {
    if (r.first < kFirstSurrogate) whole.push_back({r.first, std::min(r.last, kFirstSurrogate - 1)});
    if (r.last > kLastSurrogate) whole.push_back({std::max(r.first, kLastSurrogate + 1), std::min(r.last, kLast)});
  }
  std::sort(whole.begin(), whole.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  CodePoints set;
  for (const Range& r : whole) {
    if (r.first > r.last) continue;
    if (!set.ranges.empty() && r.first <= set.ranges.back().last + 1) {
      set.ranges.back().last = std::max(set.ranges.back().last, r.last);
    } else {
      set.ranges.push_back(r);
    }
  }
  return set;
}

CodePoints CodePoints::operator~() const {
  std::vector<Range> out;
  std::uint32_t next = 0;
  for (const Range& r : ranges) {
    if (r.first > next) out.push_back({next, r.first - 1});
    next = r.last + 1;
  }
  if (next <= kLast) out.push_back({next, kLast});
  return of(std::move(out));
}

CodePoints CodePoints::operator|(const CodePoints& o) const {
  std::vector<Range> both = ranges;
  both.insert(both.end(), o.ranges.begin(), o.ranges.end());
  return of(std::move(both));
}

CodePoints CodePoints::operator&(const CodePoints& o) const {
  CodePoints out;
  for (std::size_t i = 0, j = 0; i < ranges.size() && j < o.ranges.size();) {
    const std::uint32_t first = std::max(ranges[i].first, o.ranges[j].first);
    const std::uint32_t last = std::min(ranges[i].last, o.ranges[j].last);
    if (first <= last) out.ranges.push_back({first, last});
    (ranges[i].last < o.ranges[j].last) ? ++i : ++j;
  }
  return out;
}

bool CodePoints::has(std::uint32_t c) const {
  const auto r = std::partition_point(ranges.begin(), ranges.end(), [&](const Range& x) { return x.last < c; });
  return r != ranges.end() && r->first <= c;
}

CodePoints fold_ascii_case(const CodePoints& set) {
  std::vector<CodePoints::Range> out = set.ranges;
  for (std::uint32_t c = 'a'; c <= 'z'; ++c) {
    if (set.has(c)) out.push_back({c - 32, c - 32});
    if (set.has(c - 32)) out.push_back({c, c});
  }
  return CodePoints::of(std::move(out));
}

}  // namespace frugal::grammar

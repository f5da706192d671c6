#include "grammar/expr/shortest.hpp"

#include <algorithm>
#include <array>
#include <unordered_set>
#include <vector>

namespace frugal::grammar {

namespace {

// Of texts of one length, letters and digits make the better filling.
constexpr std::array<std::uint8_t, 256> by_liking() {
  std::array<std::uint8_t, 256> order{};
  std::size_t at = 0;
  const auto liked = [](unsigned b) { return (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9'); };
  for (unsigned b = 'a'; b <= 'z'; ++b) order[at++] = static_cast<std::uint8_t>(b);
  for (unsigned b = '0'; b <= '9'; ++b) order[at++] = static_cast<std::uint8_t>(b);
  for (unsigned b = 0; b < 256; ++b) {
    if (!liked(b)) order[at++] = static_cast<std::uint8_t>(b);
  }
  return order;
}

constexpr std::array<std::uint8_t, 256> kBytes = by_liking();

}  // namespace

std::uint32_t ShortestTexts::length(ExprStore& store, ExprId e) {
  return store.accepts(e) ? 0 : length_of_more(store, e);
}

std::uint32_t ShortestTexts::length_of_more(ExprStore& store, ExprId e) {
  if (e == kNothing) return kNoLength;
  if (const auto known = ways_.find(e); known != ways_.end()) return known->second.length;
  const Way way = search(store, e);
  ways_[e] = way;
  return way.length;
}

void ShortestTexts::write_more(ExprStore& store, ExprId e, std::string& out) {
  if (length_of_more(store, e) == kNoLength) return;
  const Way way = ways_[e];
  out += static_cast<char>(way.byte);
  write(store, way.next, out);
}

void ShortestTexts::write(ExprStore& store, ExprId e, std::string& out) {
  while (!store.accepts(e) && length(store, e) != kNoLength) {
    const Way& way = ways_[e];
    out += static_cast<char>(way.byte);
    e = way.next;
  }
}

// Breadth first, until no state that is left can lead to a shorter text than the one found.
ShortestTexts::Way ShortestTexts::search(ExprStore& store, ExprId from) {
  struct Visit {
    ExprId e;
    std::uint32_t before, depth;
    std::uint8_t byte;
  };
  std::vector<Visit> visits{{from, 0, 0, 0}};
  std::unordered_set<ExprId> seen{from};
  std::uint32_t best = kNoLength, last = 0;
  Way end;
  for (std::uint32_t i = 0; i < visits.size() && visits.size() < kMostStates; ++i) {
    const Visit at = visits[i];
    if (best != kNoLength && at.depth + 1 >= best) break;
    for (const std::uint8_t b : kBytes) {
      const ExprId next = store.step(at.e, b);
      if (next == kNothing) continue;
      std::uint32_t rest = store.accepts(next) ? 0 : kNoLength;
      if (const auto known = ways_.find(next); rest != 0 && known != ways_.end()) rest = known->second.length;
      if (rest != kNoLength && at.depth + 1 + rest < best) {
        best = at.depth + 1 + rest;
        last = i;
        end = {1 + rest, next, b};
      }
      if (seen.insert(next).second) visits.push_back({next, i, at.depth + 1, b});  // `from` may lead back to itself
    }
  }
  if (best == kNoLength) return {};
  for (std::uint32_t i = last; i != 0; i = visits[i].before) {
    ways_[visits[i].e] = end;
    end = {end.length + 1, visits[i].e, visits[i].byte};
  }
  return end;
}

}  // namespace frugal::grammar

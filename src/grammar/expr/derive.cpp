// The derivatives, and which of them are dead ends.
#include "grammar/expr/store.hpp"

#include <algorithm>
#include <unordered_map>

namespace frugal::grammar {

ExprStore::Step ExprStore::derive(ExprId e, std::uint8_t b) {
  constexpr std::size_t kRemembered = 4096;
  const Kind kind = nodes_[e].kind;
  if (kind != Kind::concat && kind != Kind::any_of && kind != Kind::all_of) return derive_anew(e, b);
  if (derived_.empty()) derived_.resize(kRemembered);
  const std::size_t slot = (e * 0x9E3779B1U + b * 0x85EBCA6BU) >> 20;  // 12 bits
  const Derived& known = derived_[slot];
  if (known.from == e && known.byte == b) return known.step;
  const Step step = derive_anew(e, b);
  derived_[slot] = {e, b, step};
  return step;
}

ExprStore::Step ExprStore::derive_anew(ExprId e, std::uint8_t b) {
  const Node n = nodes_[e];
  switch (n.kind) {
    case Kind::nothing:
    case Kind::empty_text:
      return {kNothing, ByteSet::all()};
    case Kind::bytes: {
      const ByteSet& set = sets_[n.a];
      return set.has(b) ? Step{kEmptyText, set} : Step{kNothing, ~set};
    }
    case Kind::concat:
      return derive_concat(e, b);
    case Kind::any_of:
    case Kind::all_of:
      return derive_parts(e, b);
    case Kind::complement: {
      const Step inner = derive(n.a, b);
      return {complement(inner.to), inner.like};
    }
    case Kind::repeat: {
      const Step inner = derive(n.a, b);
      const std::uint32_t least = n.least() == 0 ? 0 : n.least() - 1;
      const std::uint32_t most = n.most() == kUnbounded ? kUnbounded : n.most() - 1;
      if (inner.to == kNothing) return inner;
      return {concat(inner.to, repeat(n.a, least, most)), inner.like};
    }
    case Kind::counter:
      break;
  }
  const Counter& c = *counters_[n.a];
  return {counter_at(n.a, c.step(n.c, b)), c.like(n.c, b)};
}

// A list is walked in a loop, since a pattern may be long; only groups nest.
ExprStore::Step ExprStore::derive_concat(ExprId e, std::uint8_t b) {
  std::vector<ExprId> found;
  ByteSet like = ByteSet::all();
  while (true) {
    const Node n = nodes_[e];
    if (n.kind != Kind::concat) {
      const Step last = derive(e, b);
      like &= last.like;
      found.push_back(last.to);
      break;
    }
    const Step head = derive(n.a, b);
    like &= head.like;
    if (head.to != kNothing) found.push_back(concat(head.to, n.b));
    if (!nodes_[n.a].nullable) break;
    e = n.b;
  }
  return {found.size() == 1 ? found[0] : any_of(std::move(found)), like};
}

ExprStore::Step ExprStore::derive_parts(ExprId e, std::uint8_t b) {
  const bool any = nodes_[e].kind == Kind::any_of;
  const std::uint32_t first = nodes_[e].a, count = nodes_[e].b;
  std::vector<ExprId> found;
  ByteSet like = ByteSet::all();
  for (std::uint32_t i = 0; i < count; ++i) {
    const Step part = derive(pool_[first + i], b);  // the pool may move
    if (!any && part.to == kNothing) return part;
    like &= part.like;
    if (part.to != kNothing) found.push_back(part.to);
  }
  return {any ? any_of(std::move(found)) : all_of(std::move(found)), like};
}

ExprId ExprStore::step_slowly(ExprId e, std::uint8_t b) {
  if (e == kNothing || e == kEmptyText) return kNothing;
  Step step = derive(e, b);
  if (!live(step.to)) step.to = kNothing;
  if (row_of_[e] == 0) {
    row_of_[e] = static_cast<std::uint32_t>(rows_.size() / 256);
    rows_.resize(rows_.size() + 256, kUnknown);
  }
  ExprId* row = rows_.data() + std::size_t{row_of_[e]} * 256;
  step.like.add(b);
  step.like.each([&](std::uint8_t other) { row[other] = step.to; });
  return step.to;
}

ExprId ExprStore::run(ExprId e, std::string_view text) {
  for (const char c : text) {
    if (e == kNothing) break;
    e = step(e, static_cast<std::uint8_t>(c));
  }
  return e;
}

bool ExprStore::live(ExprId e) {
  if (life_[e] == Life::unknown) return search(e);
  return life_[e] == Life::live;
}

void ExprStore::successors(ExprId e, std::vector<ExprId>& out) {
  out.clear();
  ByteSet left = ByteSet::all();
  for (unsigned b = 0; b < 256; ++b) {
    if (!left.has(static_cast<std::uint8_t>(b))) continue;
    const Step step = derive(e, static_cast<std::uint8_t>(b));
    left &= ~step.like;
    if (step.to != kNothing && std::find(out.begin(), out.end(), step.to) == out.end()) out.push_back(step.to);
  }
}

// Depth first for a text of the language. What is on the way to one is live; if there is none, all that was seen is dead.
bool ExprStore::search(ExprId from) {
  struct Visit {
    ExprId e;
    std::vector<ExprId> next;
    std::size_t at = 0;
  };
  std::unordered_map<ExprId, bool> seen{{from, true}};
  std::vector<Visit> path;
  const auto enter = [&](ExprId e) {
    path.push_back({e, {}});
    successors(e, path.back().next);
  };
  enter(from);
  while (!path.empty()) {
    Visit& top = path.back();
    if (top.at == top.next.size()) {
      path.pop_back();
      continue;
    }
    const ExprId e = top.next[top.at++];
    if (life_[e] == Life::live) {
      for (const Visit& v : path) life_[v.e] = Life::live;
      return true;
    }
    if (life_[e] == Life::dead || !seen.emplace(e, true).second) continue;
    if (seen.size() > limits_.search_states) {
      over_limit("whether a pattern can be met is not known after " + std::to_string(limits_.search_states) +
                 " states");
    }
    enter(e);
  }
  for (const auto& [e, unused] : seen) life_[e] = Life::dead;
  return false;
}

// Every state that step() gives is live, so a way back to a state on the way is a loop in a text.
bool ExprStore::endless(ExprId from) {
  constexpr std::size_t kMostStates = 4'096;
  constexpr unsigned kFirst = 'a';  // in free text a letter closes the loop at once
  if (const auto known = endless_.find(from); known != endless_.end()) return known->second;
  struct Visit {
    ExprId e;
    unsigned next = 0;
  };
  std::vector<Visit> path{{from}};
  std::unordered_map<ExprId, bool> open{{from, true}};  // false: left, and no loop was found
  bool found = false;
  while (!path.empty() && !found) {
    Visit& top = path.back();
    if (top.next == 256) {
      open[top.e] = false;
      path.pop_back();
      continue;
    }
    const ExprId next = step(top.e, static_cast<std::uint8_t>(kFirst + top.next++));
    if (next == kNothing || next == kEmptyText) continue;
    const auto [seen, fresh] = open.emplace(next, true);
    const auto known = endless_.find(next);
    found = (!fresh && seen->second) || open.size() > kMostStates || (known != endless_.end() && known->second);
    if (fresh && !found) path.push_back({next});
  }
  return endless_[from] = found;
}

std::optional<std::vector<std::string>> ExprStore::texts(ExprId e, std::size_t most) {
  if (endless(e)) return std::nullopt;
  std::vector<std::string> found;
  std::vector<std::pair<ExprId, std::string>> open{{e, {}}};
  while (!open.empty()) {
    auto [state, text] = std::move(open.back());
    open.pop_back();
    if (accepts(state)) found.push_back(text);
    if (found.size() + open.size() > most) return std::nullopt;
    for (unsigned b = 0; b < 256; ++b) {
      const ExprId next = step(state, static_cast<std::uint8_t>(b));
      if (next != kNothing) open.emplace_back(next, text + static_cast<char>(b));
    }
  }
  return found;
}

ByteSet ExprStore::first_bytes(ExprId e) {
  ByteSet first;
  for (unsigned b = 0; b < 256; ++b) {
    if (step(e, static_cast<std::uint8_t>(b)) != kNothing) first.add(static_cast<std::uint8_t>(b));
  }
  return first;
}

}  // namespace frugal::grammar

#include "grammar/expr/store.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

// The high bits go down as well: what differs in them only would else share a slot.
constexpr std::uint64_t mix(std::uint64_t h, std::uint64_t v) {
  h = (h ^ (v + 0x9E3779B97F4A7C15ULL)) * 0xFF51AFD7ED558CCDULL;
  return h ^ (h >> 32);
}

std::uint64_t pack(std::uint32_t least, std::uint32_t most) { return (std::uint64_t{least} << 32) | most; }

}  // namespace

ExprStore::ExprStore(const Limits& limits) : limits_(limits), table_(1024, 0), rows_(256, kUnknown) {
  const auto fixed = [&](Kind kind, bool nullable, std::uint32_t a) {
    Node n{kind, nullable, true, a, 0, 0};
    intern(n);
  };
  fixed(Kind::nothing, false, 0);
  fixed(Kind::empty_text, true, 0);
  fixed(Kind::complement, true, kNothing);
}

std::uint64_t ExprStore::hash(const Node& node, std::span<const ExprId> parts) const {
  std::uint64_t h = mix(static_cast<std::uint64_t>(node.kind), node.c);
  if (node.kind == Kind::any_of || node.kind == Kind::all_of) {
    for (const ExprId p : parts) h = mix(h, p);
    return h;
  }
  return mix(h, (std::uint64_t{node.a} << 32) | node.b);
}

bool ExprStore::same(ExprId e, const Node& node, std::span<const ExprId> parts_of_node) const {
  const Node& n = nodes_[e];
  if (n.kind != node.kind || n.c != node.c) return false;
  if (n.kind == Kind::any_of || n.kind == Kind::all_of) return std::ranges::equal(parts(e), parts_of_node);
  return n.a == node.a && n.b == node.b;
}

ExprId ExprStore::intern(const Node& node, std::span<const ExprId> parts_of_node) {
  std::size_t at = hash(node, parts_of_node) & (table_.size() - 1);
  for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
    if (same(table_[at] - 1, node, parts_of_node)) return table_[at] - 1;
  }
  if ((nodes_.size() & 255) == 0 && memory() > limits_.expression_bytes) {
    over_limit("the expressions need more than " + std::to_string(limits_.expression_bytes >> 20) + " MiB");
  }
  const auto id = static_cast<ExprId>(nodes_.size());
  nodes_.push_back(node);
  if (!parts_of_node.empty()) {
    nodes_.back().a = static_cast<std::uint32_t>(pool_.size());
    nodes_.back().b = static_cast<std::uint32_t>(parts_of_node.size());
    pool_.insert(pool_.end(), parts_of_node.begin(), parts_of_node.end());
  }
  row_of_.push_back(0);
  life_.push_back(node.kind == Kind::nothing ? Life::dead : (node.plain || node.nullable ? Life::live : Life::unknown));
  table_[at] = id + 1;
  if (nodes_.size() * 2 > table_.size()) grow_table();
  return id;
}

void ExprStore::grow_table() {
  std::vector<std::uint32_t> bigger(table_.size() * 2, 0);
  for (std::size_t e = 0; e < nodes_.size(); ++e) {
    const auto id = static_cast<ExprId>(e);
    const bool list = nodes_[e].kind == Kind::any_of || nodes_[e].kind == Kind::all_of;
    std::size_t at = hash(nodes_[e], list ? parts(id) : std::span<const ExprId>{}) & (bigger.size() - 1);
    while (bigger[at] != 0) at = (at + 1) & (bigger.size() - 1);
    bigger[at] = id + 1;
  }
  table_ = std::move(bigger);
}

std::size_t ExprStore::memory() const {
  return nodes_.capacity() * sizeof(Node) + (pool_.capacity() + table_.capacity() + row_of_.capacity()) * 4 +
         rows_.capacity() * sizeof(ExprId) + sets_.capacity() * sizeof(ByteSet) + life_.capacity() + counter_bytes_;
}

ExprId ExprStore::bytes(const ByteSet& set) {
  if (set.empty()) return kNothing;
  const auto found = std::find(sets_.begin(), sets_.end(), set);  // few dozens of them
  const auto index = static_cast<std::uint32_t>(found - sets_.begin());
  if (found == sets_.end()) sets_.push_back(set);
  return intern({Kind::bytes, false, true, index, 0, 0});
}

ExprId ExprStore::literal(std::string_view text) {
  ExprId e = kEmptyText;
  for (std::size_t i = text.size(); i-- > 0;) e = concat(byte(static_cast<std::uint8_t>(text[i])), e);
  return e;
}

ExprId ExprStore::concat(ExprId a, ExprId b) {
  if (a == kNothing || b == kNothing) return kNothing;
  if (a == kEmptyText) return b;
  if (b == kEmptyText) return a;
  std::vector<ExprId> heads;  // a is split so that the list leans to the right
  while (nodes_[a].kind == Kind::concat) {
    heads.push_back(nodes_[a].a);
    a = nodes_[a].b;
  }
  const auto pair = [&](ExprId x, ExprId y) {
    const Node &l = nodes_[x], &r = nodes_[y];
    return intern({Kind::concat, l.nullable && r.nullable, l.plain && r.plain, x, y, 0});
  };
  ExprId e = pair(a, b);
  for (std::size_t i = heads.size(); i-- > 0;) e = pair(heads[i], e);
  return e;
}

ExprId ExprStore::concat(std::initializer_list<ExprId> list) {
  ExprId e = kEmptyText;
  for (auto p = list.end(); p != list.begin();) e = concat(*--p, e);
  return e;
}

// x? y covers y. A part is made after what it is made of, so going down the numbers meets what covers first; a row of
// a thousand optional letters stays one state a step.
void ExprStore::drop_covered(std::vector<ExprId>& sorted) const {
  std::vector<bool> covered(sorted.size(), false);
  bool any = false;
  for (std::size_t i = sorted.size(); i-- > 0;) {
    const Node& n = nodes_[sorted[i]];
    if (n.kind != Kind::concat || !nodes_[n.a].nullable) continue;
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), n.b);
    if (at == sorted.end() || *at != n.b) continue;
    covered[static_cast<std::size_t>(at - sorted.begin())] = any = true;
  }
  if (!any) return;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (!covered[i]) sorted[kept++] = sorted[i];
  }
  sorted.resize(kept);
}

ExprId ExprStore::any_of(std::vector<ExprId> list) {
  std::vector<ExprId> flat;
  ByteSet set;
  for (const ExprId e : list) {
    const Node& n = nodes_[e];
    if (n.kind == Kind::nothing) continue;
    if (e == kEverything) return kEverything;
    if (n.kind == Kind::bytes) {
      set |= sets_[n.a];
    } else if (n.kind == Kind::any_of) {
      for (const ExprId p : parts(e)) {
        if (nodes_[p].kind == Kind::bytes) {
          set |= sets_[nodes_[p].a];
        } else {
          flat.push_back(p);
        }
      }
    } else {
      flat.push_back(e);
    }
  }
  if (!set.empty()) flat.push_back(bytes(set));
  std::sort(flat.begin(), flat.end());
  flat.erase(std::unique(flat.begin(), flat.end()), flat.end());
  drop_covered(flat);
  if (flat.empty()) return kNothing;
  if (flat.size() == 1) return flat[0];
  if (flat.size() == 2 && flat[0] == kEmptyText && nodes_[flat[1]].nullable) return flat[1];
  bool nullable = false, plain = true;
  for (const ExprId p : flat) {
    nullable |= nodes_[p].nullable;
    plain &= nodes_[p].plain;
  }
  return intern({Kind::any_of, nullable, plain, 0, 0, 0}, flat);
}

ExprId ExprStore::all_of(std::vector<ExprId> list) {
  std::vector<ExprId> flat;
  ByteSet set = ByteSet::all();
  bool narrowed = false;
  const auto take = [&](ExprId p) {
    if (nodes_[p].kind == Kind::bytes) {
      set &= sets_[nodes_[p].a];
      narrowed = true;
    } else if (p != kEverything) {
      flat.push_back(p);
    }
  };
  for (const ExprId e : list) {
    if (e == kNothing) return kNothing;
    if (nodes_[e].kind == Kind::all_of) {
      for (const ExprId p : parts(e)) take(p);
    } else {
      take(e);
    }
  }
  if (narrowed) {
    if (set.empty()) return kNothing;
    flat.push_back(bytes(set));
  }
  std::sort(flat.begin(), flat.end());
  flat.erase(std::unique(flat.begin(), flat.end()), flat.end());
  if (flat.empty()) return kEverything;
  bool nullable = true;
  for (const ExprId p : flat) nullable &= nodes_[p].nullable;
  if (std::binary_search(flat.begin(), flat.end(), kEmptyText)) return nullable ? kEmptyText : kNothing;
  if (flat.size() == 1) return flat[0];
  std::string_view value;
  for (const ExprId p : flat) {
    if (nodes_[p].kind == Kind::counter) {
      const std::string_view other = counters_[nodes_[p].a]->only_value();
      if (!value.empty() && !other.empty() && value != other) return kNothing;
      if (!other.empty()) value = other;
    }
    if (nodes_[p].kind == Kind::complement && std::binary_search(flat.begin(), flat.end(), nodes_[p].a))
      return kNothing;
  }
  return intern({Kind::all_of, nullable, false, 0, 0, 0}, flat);
}

ExprId ExprStore::complement(ExprId a) {
  if (nodes_[a].kind == Kind::complement) return nodes_[a].a;
  return intern({Kind::complement, !nodes_[a].nullable, false, a, 0, 0});
}

ExprId ExprStore::repeat(ExprId a, std::uint32_t least, std::uint32_t most) {
  if (most < least) return kNothing;
  if (most == 0 || a == kEmptyText) return kEmptyText;
  if (a == kNothing) return least == 0 ? kEmptyText : kNothing;
  if (nodes_[a].nullable) least = 0;
  if (least == 1 && most == 1) return a;
  if (least == 0 && most == 1) return optional(a);
  const Node& n = nodes_[a];
  if (n.kind == Kind::repeat && n.least() == 0 && n.most() == kUnbounded && most != 0) return a;  // (x*){m,n} = x*
  return intern({Kind::repeat, least == 0, n.plain, a, 0, pack(least, most)});
}

ExprId ExprStore::counter(std::shared_ptr<const Counter> counter) {
  const auto index = static_cast<std::uint32_t>(counters_.size());
  const std::uint64_t start = counter->start();
  counter_bytes_ += counter->bytes();
  counters_.push_back(std::move(counter));
  return counter_at(index, start);
}

ExprId ExprStore::counter_at(std::uint32_t index, std::uint64_t state) {
  if (state == Counter::kDead) return kNothing;
  const Counter& c = *counters_[index];
  if (c.ends(state)) return kEmptyText;
  return intern({Kind::counter, c.accepts(state), c.always_live(), index, 0, state});
}

}  // namespace frugal::grammar

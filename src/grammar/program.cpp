#include "grammar/program.hpp"

#include <algorithm>

namespace frugal::grammar {

NameTrie NameTrie::of(const std::vector<std::pair<std::string, std::uint32_t>>& spelled) {
  auto sorted = spelled;
  std::sort(sorted.begin(), sorted.end());
  NameTrie trie;
  for (const auto& [text, member] : sorted) trie.order.push_back(member);
  trie.nodes.push_back({0, 0, 0, 0, static_cast<std::uint32_t>(sorted.size()), kNone});
  std::vector<std::size_t> depth{0};
  for (std::size_t n = 0; n < trie.nodes.size(); ++n) {  // breadth first, so that children are neighbours
    const std::uint32_t last = trie.nodes[n].last;
    trie.nodes[n].child = static_cast<std::uint32_t>(trie.nodes.size());
    for (std::uint32_t i = trie.nodes[n].first; i < last;) {
      const std::string& text = sorted[i].first;
      if (text.size() == depth[n]) {
        trie.nodes[n].member = sorted[i].second;
        ++i;
        continue;
      }
      const char byte = text[depth[n]];
      std::uint32_t end = i + 1;
      while (end < last && sorted[end].first[depth[n]] == byte) ++end;
      trie.nodes.push_back({static_cast<std::uint8_t>(byte), 0, 0, i, end, kNone});
      depth.push_back(depth[n] + 1);
      ++trie.nodes[n].children;
      i = end;
    }
  }
  return trie;
}

std::uint32_t NameTrie::step(std::uint32_t node, std::uint8_t b) const {
  const Node& n = nodes[node];
  const auto begin = nodes.begin() + n.child, end = begin + n.children;
  const auto at = std::partition_point(begin, end, [&](const Node& child) { return child.byte < b; });
  return at != end && at->byte == b ? static_cast<std::uint32_t>(at - nodes.begin()) : kNone;
}

void add_json_signs(Program& p, ExprId space) {
  ExprStore& s = p.store;
  const auto spaced = [&](char sign) { return s.concat({space, s.byte(static_cast<std::uint8_t>(sign)), space}); };
  p.open_array = s.concat(s.byte('['), space);
  p.open_object = s.concat(s.byte('{'), space);
  p.close_array = s.concat(space, s.byte(']'));
  p.close_object = s.concat(space, s.byte('}'));
  p.close_empty_array = s.byte(']');
  p.close_empty_object = s.byte('}');
  p.comma = spaced(',');
  p.colon = spaced(':');
}

std::size_t Program::memory() const {
  std::size_t bytes = sizeof(*this) + store.memory() + values.size() * sizeof(ValueNode);
  for (const ArrayTable& a : arrays) bytes += sizeof(a) + 64 * (a.prefix.size() + a.rest.size());
  for (const ObjectTable& o : objects) {
    bytes += sizeof(o) + o.names.nodes.size() * sizeof(NameTrie::Node) + 96 * (o.members.size() + o.classes.size());
  }
  for (const auto& production : productions) bytes += 32 + production.size() * sizeof(Symbol);
  return bytes;
}

}  // namespace frugal::grammar

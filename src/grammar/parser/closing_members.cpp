// The members that an object still needs, with the least text.
#include "grammar/parser/closing.hpp"
#include "grammar/regex/alphabet.hpp"

#include <algorithm>
#include <utility>

namespace frugal::grammar {

const std::string& Closing::name(std::uint32_t object, std::uint32_t member) {
  const ObjectTable& table = parser_.program().objects[object];
  std::vector<std::string>& names = names_[object];
  if (names.empty()) {
    for (const ObjectTable::Member& m : table.members) names.push_back('"' + json_spelling(m.name, false) + '"');
  }
  return names[member];
}

// The one that meets most of what is wanted, and of those the shortest.
const ObjectTable::Choice* Closing::cheapest(const std::vector<ObjectTable::Choice>& choices,
                                             std::uint32_t wanted) const {
  const ObjectTable::Choice* found = nullptr;
  const auto met = [&](const ObjectTable::Choice& c) { return __builtin_popcount(c.meets & wanted); };
  for (const ObjectTable::Choice& c : choices) {
    if (bytes_of(c.value) == kNoLength) continue;
    if (!found || met(c) > met(*found) || (met(c) == met(*found) && bytes_of(c.value) < bytes_of(found->value)))
      found = &c;
  }
  return found;
}

std::uint32_t Closing::cheapest_class(const ObjectTable& table) {
  std::uint32_t found = kNone, least = kNoLength;
  for (std::uint32_t c = 0; c < table.classes.size(); ++c) {
    const ObjectTable::Choice* choice = cheapest(table.classes[c].choices);
    const std::uint32_t name = lexemes_.length(parser_.store(), table.classes[c].name);
    if (!choice || name == kNoLength || name + bytes_of(choice->value) >= least) continue;
    least = name + bytes_of(choice->value);
    found = c;
  }
  return found;
}

// The required members that are missing, and those that others ask for.
void Closing::add_required(const ObjectTable& table, const Progress& p, Members& out, Draft& d) const {
  std::vector<bool> there(table.members.size());
  const auto add = [&](std::uint32_t m) {
    there[m] = true;
    out.known.emplace_back(m, cheapest(table.members[m].choices));
  };
  for (std::uint32_t m = 0; m < table.members.size(); ++m) {
    if (p.has(m)) {
      there[m] = true;
    } else if (table.members[m].required) {
      add(m);
    }
  }
  for (bool more = !table.dependents.empty(); more;) {
    more = false;
    for (const auto& [one, other] : table.dependents) {
      if (!there[one] || there[other]) continue;
      add(other);
      d.certain = false;
      more = true;
    }
  }
}

bool Closing::meet_obligations(std::uint32_t object, const Progress& p, Members& out) {
  const ObjectTable& table = parser_.program().objects[object];
  std::uint32_t unmet = table.obligations & ~p.met;
  for (auto& [m, choice] : out.known) {
    choice = cheapest(table.members[m].choices, unmet);
    if (choice) unmet &= ~choice->meets;
  }
  const auto taken = [&](std::uint32_t m) {
    return std::any_of(out.known.begin(), out.known.end(), [&](const auto& k) { return k.first == m; });
  };
  for (std::uint32_t m = 0; m < table.members.size() && unmet != 0; ++m) {
    const ObjectTable::Choice* choice = cheapest(table.members[m].choices, unmet);
    if (!choice || (choice->meets & unmet) == 0 || taken(m) || !parser_.may_take(table, p, m)) continue;
    out.known.emplace_back(m, choice);
    unmet &= ~choice->meets;
  }
  for (std::uint32_t c = 0; c < table.classes.size() && unmet != 0; ++c) {
    const ObjectTable::Choice* choice = cheapest(table.classes[c].choices, unmet);
    if (!choice || (choice->meets & unmet) == 0 || out.others > 0) continue;
    out.other = c;
    out.others = 1;
    out.choice = choice;
    unmet &= ~choice->meets;
  }
  return unmet == 0;
}

// Members that nothing asks for but their number.
bool Closing::fill(std::uint32_t object, const Progress& p, std::uint32_t wanted, Members& out, Draft& d) {
  const ObjectTable& table = parser_.program().objects[object];
  std::vector<std::pair<std::uint32_t, std::uint32_t>> optional;  // bytes, member
  const auto brings_others = [&](std::uint32_t m) {
    return std::any_of(table.dependents.begin(), table.dependents.end(),
                       [&](const auto& pair) { return pair.first == m; });
  };
  for (std::uint32_t m = 0; m < table.members.size(); ++m) {
    const ObjectTable::Choice* choice = cheapest(table.members[m].choices);
    if (!choice || table.members[m].required || !parser_.may_take(table, p, m)) continue;
    if (std::any_of(out.known.begin(), out.known.end(), [&](const auto& k) { return k.first == m; })) continue;
    constexpr std::uint32_t kLast = 1U << 20;
    optional.emplace_back(name(object, m).size() + bytes_of(choice->value) + (brings_others(m) ? kLast : 0), m);
  }
  std::sort(optional.begin(), optional.end());
  const std::uint32_t other = cheapest_class(table);
  std::uint32_t class_bytes = kNoLength;
  if (other != kNone && (out.others == 0 || out.other == other)) {
    class_bytes = lexemes_.length(parser_.store(), table.classes[other].name) +
                  bytes_of(cheapest(table.classes[other].choices)->value);
  }
  d.certain &= table.most == kUnbounded && table.dependents.empty() && !table.in_order;
  for (std::size_t next = 0; wanted > 0; --wanted) {
    const bool others_first = class_bytes != kNoLength;
    if (next < optional.size() && !(others_first && class_bytes < optional[next].first)) {
      const std::uint32_t m = optional[next++].second;
      out.known.emplace_back(m, cheapest(table.members[m].choices));
    } else if (class_bytes != kNoLength) {
      out.other = other;
      out.choice = cheapest(table.classes[other].choices);
      ++out.others;
    } else {
      return false;
    }
  }
  return true;
}

bool Closing::choose(std::uint32_t object, const Progress& p, bool one_more, Members& out, Draft& d) {
  const ObjectTable& table = parser_.program().objects[object];
  add_required(table, p, out, d);
  if ((table.obligations & ~p.met) != 0) {
    d.certain = false;
    if (!meet_obligations(object, p, out)) return false;
  }
  const std::uint32_t chosen = static_cast<std::uint32_t>(out.known.size()) + out.others;
  std::uint32_t wanted = table.least > p.count + chosen ? table.least - p.count - chosen : 0;
  if (one_more && chosen + wanted == 0) wanted = 1;
  constexpr std::uint32_t kMostMembers = 4'096;
  if (wanted > kMostMembers || (wanted > 0 && !fill(object, p, wanted, out, d))) return false;
  std::sort(out.known.begin(), out.known.end());
  return std::all_of(out.known.begin(), out.known.end(), [](const auto& k) { return k.second != nullptr; });
}

void Closing::members(std::uint32_t object, Progress p, Place place, Draft& d) {
  const Program& program = parser_.program();
  Members chosen;
  if (!choose(object, p, place == Place::next, chosen, d)) return d.add(kNoLength);
  if (place == Place::open && chosen.known.empty() && chosen.others == 0) return lexeme(program.close_empty_object, d);
  bool comma = place == Place::after;
  const auto begin = [&] {
    if (comma) lexeme(program.comma, d);
    comma = true;
  };
  for (const auto& [m, choice] : chosen.known) {
    if (d.failed()) return;
    begin();
    text(name(object, m), d);
    lexeme(program.colon, d);
    value(choice->value, d);
  }
  std::vector<std::string> used = chosen.others > 0 ? parser_.texts_of(p.keys) : std::vector<std::string>();
  if (!d.current.empty()) used.push_back(std::exchange(d.current, {}));
  for (std::uint32_t i = 0; i < chosen.others && !d.failed(); ++i) {
    begin();
    used.push_back(shortest(parser_.minus(program.objects[object].classes[chosen.other].name, used)));
    if (used.back().empty()) return d.add(kNoLength);
    text(used.back(), d);
    lexeme(program.colon, d);
    value(chosen.choice->value, d);
  }
  lexeme(program.close_object, d);
}

// In the middle of a known name: the member that it can be with the least text after it.
void Closing::known_name(const Thread& t, Draft& d) {
  const Frame f = parser_.frame(t.frame);
  const ObjectTable& table = parser_.program().objects[f.a];
  const Progress p = parser_.progress(f.b);
  const NameTrie::Node& node = table.names.nodes[t.q];
  std::uint32_t place = kNone, least = kNoLength;
  for (std::uint32_t i = node.first; i < node.last; ++i) {
    const std::uint32_t m = table.names.order[i];
    if (!cheapest(table.members[m].choices) || !parser_.may_take(table, p, m)) continue;
    Draft rest;
    if (table.tied) {  // others may come with it
      known_member(f.a, p, m, rest);
    } else if (!table.members[m].required) {
      rest.add(1 + bytes_of(cheapest(table.members[m].choices)->value));
    }
    if (rest.failed() || rest.bytes >= least) continue;
    least = rest.bytes;
    place = i;
  }
  if (place == kNone) return d.add(kNoLength);
  std::string rest;
  std::uint32_t n = t.q;
  while (table.names.nodes[n].member == kNone) {
    std::uint32_t child = table.names.nodes[n].child;
    while (table.names.nodes[child].last <= place) ++child;
    rest += static_cast<char>(table.names.nodes[child].byte);
    n = child;
  }
  text(rest, d);
  known_member(f.a, p, table.names.order[place], d);
}

void Closing::known_member(std::uint32_t object, const Progress& p, std::uint32_t member, Draft& d) {
  const ObjectTable& table = parser_.program().objects[object];
  const ObjectTable::Choice* choice = cheapest(table.members[member].choices, table.obligations & ~p.met);
  lexeme(parser_.program().colon, d);
  value(choice->value, d);
  members(object, parser_.with_member(table, p, member, choice->meets), Place::after, d);
}

}  // namespace frugal::grammar

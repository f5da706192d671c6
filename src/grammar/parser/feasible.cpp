// What can still come to an end: looked at before a member or an item begins, so that no text leads to a place where
// nothing may follow.
#include "grammar/parser/parser.hpp"

#include "grammar/expr/counters.hpp"

#include <algorithm>
#include <array>

namespace frugal::grammar {

namespace {

struct Wanted {
  std::uint32_t least = 0, most = kUnbounded;
};

// Items in four roles, of which `there` has a bit each, so that each "contains" gets as many as it wants: at least `from`
// items and at most `room`.
bool can_be_shared_out(const std::array<Wanted, 2>& wanted, unsigned there, std::uint32_t from, std::uint32_t room) {
  const auto has = [&](unsigned role) { return ((there >> role) & 1) != 0; };
  const std::uint32_t low = std::min(wanted[0].least, wanted[1].least),
                      high = std::max(wanted[0].least, wanted[1].least);
  const std::uint32_t most_both = std::min(wanted[0].most, wanted[1].most);
  for (const std::uint32_t both : {0U, low, high}) {
    if (both > most_both || (both > 0 && !has(3))) continue;
    const std::uint32_t first = wanted[0].least - std::min(both, wanted[0].least);
    const std::uint32_t second = wanted[1].least - std::min(both, wanted[1].least);
    if ((first > 0 && !has(1)) || (second > 0 && !has(2)) || std::uint64_t{both} + first + second > room) continue;
    if (has(0) || both + first + second >= from) return true;
    const std::uint64_t more = from - both - first - second;
    const auto spare = [&](unsigned role, std::size_t c, std::uint32_t used) -> std::uint64_t {
      return has(role) ? wanted[c].most - std::min(wanted[c].most, both + used) : 0;
    };
    const std::uint64_t in_both = has(3) ? most_both - both : 0;
    if (spare(1, 0, first) + spare(2, 1, second) + in_both >= more) return true;
  }
  return false;
}

}  // namespace

// `count` items are there. Those at fixed places are taken in whatever role helps most often; only the rest is exact.
bool Parser::list_can_end(const ArrayTable& table, std::uint32_t count, std::uint32_t counts) const {
  if (table.contains.empty()) return true;
  std::array<Wanted, 2> wanted;
  for (std::size_t c = 0; c < table.contains.size(); ++c) {
    const std::uint32_t met = (counts >> (16 * c)) & 0xFFFF;
    wanted[c].least = table.contains[c].least - std::min(met, table.contains[c].least);
    if (table.contains[c].most != kUnbounded) wanted[c].most = table.contains[c].most - met;
  }
  for (; count < table.prefix.size() && count < table.most; ++count) {
    for (std::size_t c = 0; c < table.contains.size(); ++c) {
      const auto& item = table.prefix[count];
      const bool helps =
          std::any_of(item.begin(), item.end(), [&](const auto& i) { return ((i.meets >> c) & 1) != 0; });
      if (helps && wanted[c].least > 0) --wanted[c].least;
    }
  }
  unsigned there = 0;
  for (const ArrayTable::Choice& choice : table.rest) there |= 1U << choice.meets;
  return can_be_shared_out(wanted, there, table.least - std::min(count, table.least),
                           table.most == kUnbounded ? kUnbounded : table.most - std::min(count, table.most));
}

// One member more; kNone: of another name.
Progress Parser::with_member(const ObjectTable& table, const Progress& p, std::uint32_t member,
                             std::uint32_t meets) const {
  Progress with = p;
  with.count = table.most == kUnbounded ? std::min(p.count + 1, table.least) : p.count + 1;
  with.met |= meets;
  if (member != kNone) with.seen[member / 64] |= std::uint64_t{1} << (member % 64);
  if (table.in_order) with.from = member < table.ordered ? member + 1 : table.ordered;
  return with;
}

bool Parser::can_end(const ObjectTable& table, const Progress& p) const {
  std::vector<bool> needed(table.members.size());
  std::uint32_t count = 0;
  const auto need = [&](std::uint32_t m) {
    if (p.has(m) || needed[m]) return true;
    needed[m] = true;
    ++count;
    return still_free(table, p, m);
  };
  for (std::uint32_t m = 0; m < table.members.size(); ++m) {
    if (table.members[m].required && !need(m)) return false;
  }
  for (std::uint32_t before = ~0U; before != count;) {
    before = count;
    for (const auto& [one, other] : table.dependents) {
      if ((p.has(one) || needed[one]) && !need(other)) return false;
    }
  }
  if (table.most != kUnbounded && p.count + count > table.most) return false;
  if (p.count + count < table.least && table.classes.empty()) {
    std::uint32_t optional = 0;
    for (std::uint32_t m = 0; m < table.members.size(); ++m) optional += !needed[m] && still_free(table, p, m) ? 1 : 0;
    if (p.count + count + optional < table.least) return false;
  }
  return obligations_can_be_met(table, p, needed, table.most == kUnbounded ? kUnbounded : table.most - p.count - count);
}

// The fewest members beyond the needed ones that meet each set of obligations.
bool Parser::obligations_can_be_met(const ObjectTable& table, const Progress& p, const std::vector<bool>& needed,
                                    std::uint32_t room) const {
  const std::uint32_t unmet = table.obligations & ~p.met;
  if (unmet == 0) return true;
  constexpr std::uint32_t kNever = 1'000;
  std::vector<std::uint32_t> fewest(unmet + 1, kNever);
  fewest[0] = 0;
  const auto take = [&](const std::vector<ObjectTable::Choice>& choices, bool must) {
    const std::vector<std::uint32_t> before = fewest;
    if (must) std::fill(fewest.begin(), fewest.end(), kNever);
    for (std::uint32_t mask = 0; mask <= unmet; ++mask) {
      if (before[mask] == kNever) continue;
      for (const ObjectTable::Choice& choice : choices) {
        std::uint32_t& now = fewest[mask | (choice.meets & unmet)];
        now = std::min(now, before[mask] + (must ? 0 : 1));
      }
    }
  };
  for (std::uint32_t m = 0; m < table.members.size(); ++m) {
    if (!p.has(m) && (needed[m] || still_free(table, p, m))) take(table.members[m].choices, needed[m]);
  }
  for (std::uint32_t bits = unmet; bits != 0; bits &= bits - 1) {
    for (const ObjectTable::NameClass& names : table.classes) take(names.choices, false);
  }
  return fewest[unmet] != kNever && fewest[unmet] <= room;
}

// The texts of the language but those whose value is in the list, where they could not be continued to others for ever.
ExprId Parser::without(ExprId language, std::uint32_t list) {
  std::vector<ExprId> gone;
  for (; list != 0; list = lists_[list].before) {
    const std::string text = text_since(lists_[list].value, 1);
    if (text.starts_with('[') || text.starts_with('{')) continue;
    const auto number = text.find_first_of("-0123456789") == 0 ? Decimal::parse(text) : std::nullopt;
    if (number) {  // digits of another value may follow
      if (store_.run(language, number->plain() + "1111111111") != kNothing) continue;
    } else {
      const ExprId before = store_.run(language, text.substr(0, text.size() - (text.ends_with('"') ? 1 : 0)));
      if (before == kNothing || (before != kEmptyText && store_.endless(before))) continue;
    }
    gone.push_back(number ? same_number(text, *number) : store_.literal(text));
  }
  if (gone.empty()) return language;
  const ExprId left = store_.all_of({language, store_.complement(store_.any_of(std::move(gone)))});
  return store_.live(left) ? left : kNothing;
}

std::vector<std::string> Parser::texts_of(std::uint32_t list) const {
  std::vector<std::string> all;
  for (; list != 0; list = lists_[list].before) all.push_back(text_since(lists_[list].value, 1));
  return all;
}

ExprId Parser::minus(ExprId language, const std::vector<std::string>& values) {
  std::vector<ExprId> gone;
  for (const std::string& text : values) {
    const auto number = text.find_first_of("-0123456789") == 0 ? Decimal::parse(text) : std::nullopt;
    gone.push_back(number ? same_number(text, *number) : store_.literal(text));
  }
  if (gone.empty()) return language;
  const ExprId left = store_.all_of({language, store_.complement(store_.any_of(std::move(gone)))});
  return store_.live(left) ? left : kNothing;
}

ExprId Parser::same_number(const std::string& text, const Decimal& number) {
  const auto [known, fresh] = same_.emplace(text, kNothing);
  if (fresh) known->second = store_.counter(compare_number(number, Relation::equal));
  return known->second;
}

}  // namespace frugal::grammar

// Objects: which names may come, in which order, how often, and when the object may end.
#include "grammar/parser/parser.hpp"

#include <algorithm>

namespace frugal::grammar {

using Op = Frame::Op;

Progress Parser::no_progress(std::uint32_t object) const {
  Progress none;
  none.seen.assign((program_.objects[object].members.size() + 63) / 64, 0);
  return none;
}

void Parser::object_open(const Frame& f, std::uint32_t text) {
  const ObjectTable& table = program_.objects[f.a];
  const Progress none = no_progress(f.a);
  if (may_close(table, none)) add(program_.close_empty_object, f.parent, text);
  object_members({Op::object_next, f.a, progress_.add(none), 0, 0, f.parent}, text);
}

std::uint32_t Parser::missing(const ObjectTable& table, const Progress& p) const {
  std::uint32_t count = 0;
  for (std::uint32_t m = 0; m < table.members.size(); ++m) count += table.members[m].required && !p.has(m) ? 1 : 0;
  return count;
}

bool Parser::still_free(const ObjectTable& table, const Progress& p, std::uint32_t member) const {
  const ObjectTable::Member& m = table.members[member];
  return !m.choices.empty() && !p.has(member) && (member >= p.from || member >= table.ordered);
}

bool Parser::may_take(const ObjectTable& table, const Progress& p, std::uint32_t member) {
  if (!still_free(table, p, member)) return false;
  const ObjectTable::Member& m = table.members[member];
  if (table.most != kUnbounded && !m.required && p.count + missing(table, p) >= table.most) return false;
  const std::uint32_t skipped = table.in_order ? std::min(member, table.ordered) : 0;
  for (std::uint32_t s = p.from; s < skipped; ++s) {
    if (table.members[s].required && !p.has(s)) return false;
  }
  if (!table.tied) return true;
  const auto object = static_cast<std::uint32_t>(&table - program_.objects.data());
  if (tied_.object != object || !(tied_.progress == p))
    tied_ = {object, p, std::vector<std::uint8_t>(table.members.size())};
  if (tied_.may[member] == 0) {
    const bool may = std::any_of(m.choices.begin(), m.choices.end(), [&](const ObjectTable::Choice& choice) {
      return can_end(table, with_member(table, p, member, choice.meets));
    });
    tied_.may[member] = may ? 2 : 1;
  }
  return tied_.may[member] == 2;
}

bool Parser::may_take_any(const ObjectTable& table, const Progress& p, std::uint32_t trie_node) {
  const NameTrie::Node& node = table.names.nodes[trie_node];
  for (std::uint32_t i = node.first; i < node.last; ++i) {
    if (may_take(table, p, table.names.order[i])) return true;
  }
  return false;
}

bool Parser::may_take_class(const ObjectTable& table, const Progress& p, const ObjectTable::NameClass& names) const {
  if (!table.tied) return true;
  return std::any_of(names.choices.begin(), names.choices.end(), [&](const ObjectTable::Choice& choice) {
    return can_end(table, with_member(table, p, kNone, choice.meets));
  });
}

bool Parser::may_take_others(const ObjectTable& table, const Progress& p) const {
  if (table.classes.empty()) return false;
  const std::uint32_t left = missing(table, p);
  if (table.most != kUnbounded && p.count + left >= table.most) return false;
  if (table.in_order && left > 0) return false;
  return std::any_of(table.classes.begin(), table.classes.end(),
                     [&](const ObjectTable::NameClass& names) { return may_take_class(table, p, names); });
}

bool Parser::may_close(const ObjectTable& table, const Progress& p) const {
  if (p.count < table.least || (table.obligations & ~p.met) != 0 || missing(table, p) > 0) return false;
  return std::all_of(table.dependents.begin(), table.dependents.end(),
                     [&](const auto& pair) { return !p.has(pair.first) || p.has(pair.second); });
}

void Parser::object_members(const Frame& f, std::uint32_t text) {
  const ObjectTable& table = program_.objects[f.a];
  const Progress& p = progress_[f.b];
  const bool others = may_take_others(table, p);
  if (may_take_any(table, p, 0)) {
    const std::uint32_t frame = add_frame({Op::object_name, f.a, f.b, 0, 0, f.parent});
    building_.push_back({0, frame, text});
  }
  if (!others) return;
  for (std::uint32_t c = 0; c < table.classes.size(); ++c) {
    if (!may_take_class(table, progress_[f.b], table.classes[c])) continue;
    const std::uint32_t frame = add_frame({Op::object_key, f.a, f.b, c, text, f.parent});
    add(without(table.classes[c].name, progress_[f.b].keys), frame, text == 0 ? 1 : text);
  }
}

void Parser::known_name(const Frame& f, std::uint32_t member, std::uint32_t text) {
  const ObjectTable& table = program_.objects[f.a];
  after_name(f, with_member(table, progress_[f.b], member, 0), table.members[member].choices, text);
}

void Parser::other_name(const Frame& f, std::uint32_t text) {
  const ObjectTable& table = program_.objects[f.a];
  Progress p = with_member(table, progress_[f.b], kNone, 0);
  const std::string key = text_since(text, f.d == 0 ? 1 : f.d);
  if (in_list(p.keys, key)) return;
  std::uint32_t stored = 1;
  for (const char c : key) stored = append(stored, static_cast<std::uint8_t>(c));
  p.keys = lists_.add({p.keys, stored});
  after_name(f, std::move(p), table.classes[f.c].choices, f.d == 0 ? 0 : text);
}

void Parser::after_name(const Frame& f, Progress p, const std::vector<ObjectTable::Choice>& choices,
                        std::uint32_t text) {
  const ObjectTable& table = program_.objects[f.a];
  const std::uint32_t met = p.met;
  for (const ObjectTable::Choice& choice : choices) {
    p.met = met | choice.meets;
    if (table.tied && !can_end(table, p)) continue;
    add(program_.colon, add_frame({Op::object_value, f.a, progress_.add(p), choice.value, 0, f.parent}), text);
  }
}

void Parser::object_member(const Frame& f, std::uint32_t text) {
  const ObjectTable& table = program_.objects[f.a];
  const Progress& p = progress_[f.b];
  const bool closes = may_close(table, p);
  const bool more = p.count < table.most && (may_take_any(table, p, 0) || may_take_others(table, p));
  if (more) add(program_.comma, add_frame({Op::object_next, f.a, f.b, 0, 0, f.parent}), text);
  if (closes) add(program_.close_object, f.parent, text);
}

}  // namespace frugal::grammar

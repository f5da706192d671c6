// The texts that end values, lists and symbols, and the search where they do not fit.
#include "grammar/parser/closing.hpp"

#include <algorithm>
#include <queue>
#include <unordered_set>
#include <utility>

namespace frugal::grammar {

using Op = Frame::Op;

void Closing::text(std::string_view text, Draft& d) {
  d.add(static_cast<std::uint32_t>(std::min<std::size_t>(text.size(), kMostBytes + 1)));
  if (d.out && !d.failed()) *d.out += text;
}

void Closing::lexeme(ExprId e, Draft& d) {
  if (d.failed()) return;
  d.add(lexemes_.length(parser_.store(), e));
  if (d.out && !d.failed()) lexemes_.write(parser_.store(), e, *d.out);
}

void Closing::value(ValueId value, Draft& d) {
  const Best best = best_[value];
  d.certain &= best.certain;
  if (!d.out || best.bytes == kNoLength) return d.add(best.bytes);
  constexpr unsigned kDeepest = 1'000;
  if (++d.depth > kDeepest) return d.add(kNoLength);
  switch (best.kind) {
    case Best::Kind::none:
    case Best::Kind::scalar:
      lexeme(parser_.program().values[value].scalar, d);
      break;
    case Best::Kind::array:
      lexeme(parser_.program().open_array, d);
      list(parser_.program().arrays[best.id], {Op::array_open, best.id, 0, 0, 0, 0}, Place::open, d);
      break;
    case Best::Kind::object:
      lexeme(parser_.program().open_object, d);
      members(best.id, parser_.no_progress(best.id), Place::open, d);
      break;
  }
  --d.depth;
}

void Closing::rule(std::uint32_t rule, Draft& d) {
  if (!d.out || rules_[rule] == kNoLength) return d.add(rules_[rule]);
  constexpr unsigned kDeepest = 1'000;
  if (++d.depth > kDeepest) return d.add(kNoLength);
  symbols(by_[rule], 0, d);
  --d.depth;
}

void Closing::symbols(std::uint32_t production, std::uint32_t place, Draft& d) {
  const Program& program = parser_.program();
  const std::vector<Symbol>& all = production == kNone ? program.start : program.productions[production];
  for (; place < all.size() && !d.failed(); ++place) {
    if (all[place].kind == Symbol::Kind::terminal) lexeme(all[place].id, d);
    if (all[place].kind == Symbol::Kind::value) value(all[place].id, d);
    if (all[place].kind == Symbol::Kind::rule) rule(all[place].id, d);
  }
}

// From what is shortest now, until nothing gets shorter. What a text is made of is shorter than the text, so that
// writing it comes to an end.
void Closing::learn() {
  const Program& program = parser_.program();
  best_.resize(program.values.size());
  rules_.assign(program.rules.size(), kNoLength);
  by_.assign(program.rules.size(), 0);
  names_.resize(program.objects.size());
  for (std::size_t v = 0; v < best_.size(); ++v) {
    const std::uint32_t bytes = lexemes_.length(parser_.store(), program.values[v].scalar);
    if (bytes != kNoLength) best_[v] = {bytes, Best::Kind::scalar, 0, true};
  }
  constexpr int kMostRounds = 2'000;
  for (int round = 0; round < kMostRounds && improve(); ++round) {
  }
}

bool Closing::improve() {
  const Program& program = parser_.program();
  bool better = false;
  const auto offer = [&](Best& best, Best::Kind kind, std::uint32_t id, const Draft& d) {
    if (d.failed() || d.bytes >= best.bytes) return;
    best = {d.bytes, kind, id, d.certain};
    better = true;
  };
  std::vector<std::optional<Draft>> arrays(program.arrays.size()), objects(program.objects.size());
  for (std::size_t v = 0; v < best_.size(); ++v) {
    for (const std::uint32_t a : program.values[v].arrays) {
      if (!arrays[a]) {
        lexeme(program.open_array, arrays[a].emplace());
        list(program.arrays[a], {Op::array_open, a, 0, 0, 0, 0}, Place::open, *arrays[a]);
      }
      offer(best_[v], Best::Kind::array, a, *arrays[a]);
    }
    for (const std::uint32_t o : program.values[v].objects) {
      if (!objects[o]) {
        lexeme(program.open_object, objects[o].emplace());
        members(o, parser_.no_progress(o), Place::open, *objects[o]);
      }
      offer(best_[v], Best::Kind::object, o, *objects[o]);
    }
  }
  for (std::uint32_t r = 0; r < rules_.size(); ++r) {
    for (const std::uint32_t p : program.rules[r]) {
      Draft d;
      symbols(p, 0, d);
      if (d.failed() || d.bytes >= rules_[r]) continue;
      rules_[r] = d.bytes;
      by_[r] = p;
      better = true;
    }
  }
  return better;
}

// Of the items that are allowed, one that is asked for, and of those the shortest.
const ArrayTable::Choice* Closing::next_item(const ArrayTable& table, const Frame& at) const {
  const ArrayTable::Choice* found = nullptr;
  unsigned found_wanted = 0;
  for (const ArrayTable::Choice& choice : table.item(at.b)) {
    unsigned wanted = 0;
    bool allowed = bytes_of(choice.value) != kNoLength;
    for (std::size_t c = 0; c < table.contains.size(); ++c) {
      if (((choice.meets >> c) & 1) == 0) continue;
      const std::uint32_t count = (at.c >> (16 * c)) & 0xFFFF;
      allowed &= count < table.contains[c].most;
      wanted += count < table.contains[c].least ? 1 : 0;
    }
    if (!allowed) continue;
    const bool better =
        !found || wanted > found_wanted || (wanted == found_wanted && bytes_of(choice.value) < bytes_of(found->value));
    if (!better) continue;
    found = &choice;
    found_wanted = wanted;
  }
  return found;
}

std::string Closing::shortest(ExprId language) {
  std::string text;
  if (language != kNothing && lexemes_.length(parser_.store(), language) != kNoLength)
    lexemes_.write(parser_.store(), language, text);
  return text;
}

// A number, string or word that is not among the used ones; else whatever is shortest.
void Closing::different(ValueId id, std::vector<std::string>& used, Draft& d) {
  const std::string item = shortest(parser_.minus(parser_.program().values[id].scalar, used));
  if (item.empty()) return value(id, d);
  text(item, d);
  used.push_back(item);
}

void Closing::list(const ArrayTable& table, Frame at, Place place, Draft& d) {
  const Program& program = parser_.program();
  std::vector<std::string> used;
  ValueId written = 0;
  for (bool first = at.b == 0; !d.failed(); first = false) {
    if (place != Place::next && at.b >= table.least && parser_.contains_holds(table, at.c))
      return lexeme(place == Place::open ? program.close_empty_array : program.close_array, d);
    const ArrayTable::Choice* item = parser_.may_add_item(table, at) ? next_item(table, at) : nullptr;
    if (!item) return d.add(kNoLength);
    if (place == Place::after) lexeme(program.comma, d);
    if (table.unique && !(first && at.d == 0)) {
      if (used.empty()) used = parser_.texts_of(at.d);
      if (!d.current.empty()) used.push_back(std::exchange(d.current, {}));
      if (used.empty()) used.push_back(shortest(program.values[written].scalar));
      different(item->value, used, d);
    } else {
      value(item->value, d);
    }
    written = item->value;
    d.certain &= table.contains.empty() && (!table.unique || first);
    at.c = parser_.counts_with(table, at.c, item->meets).value_or(at.c);
    ++at.b;
    place = Place::after;
  }
}

void Closing::frame(const Frame& f, Draft& d) {
  const Program& program = parser_.program();
  switch (f.op) {
    case Op::end:
      return;
    case Op::array_open:
      return list(program.arrays[f.a], f, Place::open, d);
    case Op::array_item:
      return list(program.arrays[f.a], f, Place::after, d);
    case Op::array_next:
      return list(program.arrays[f.a], f, Place::next, d);
    case Op::unique_item:
      return;
    case Op::object_open:
      return members(f.a, parser_.no_progress(f.a), Place::open, d);
    case Op::object_name:
      return d.add(kNoLength);  // known_name() has dealt with it
    case Op::object_key: {
      Progress p = parser_.progress(f.b);
      const ObjectTable::Choice* choice = cheapest(program.objects[f.a].classes[f.c].choices, ~p.met);
      if (!choice) return d.add(kNoLength);
      lexeme(program.colon, d);
      value(choice->value, d);
      p = parser_.with_member(program.objects[f.a], p, kNone, choice->meets);
      return members(f.a, std::move(p), Place::after, d);
    }
    case Op::object_value:
      value(f.c, d);
      return members(f.a, parser_.progress(f.b), Place::after, d);
    case Op::object_member:
      return members(f.a, parser_.progress(f.b), Place::after, d);
    case Op::object_next:
      return members(f.a, parser_.progress(f.b), Place::next, d);
    case Op::sequence:
      return symbols(f.a, f.b, d);
  }
}

void Closing::frames(std::uint32_t id, Draft& d) {
  for (Frame f = parser_.frame(id); f.op != Op::end && !d.failed(); f = parser_.frame(f.parent)) frame(f, d);
}

void Closing::thread(const Thread& t, Draft& d) {
  if (parser_.in_name(t)) {
    known_name(t, d);
    return frames(parser_.frame(t.frame).parent, d);
  }
  // Where its lexeme may end here, what follows is a thread of its own.
  d.add(lexemes_.length_of_more(parser_.store(), t.q));
  if (d.failed()) return;
  const Frame f = parser_.frame(t.frame);
  const bool name = f.op == Op::object_key, item = f.op == Op::unique_item;
  std::string more;
  if (d.out || name || item) lexemes_.write_more(parser_.store(), t.q, more);
  if (d.out) *d.out += more;
  if (name || item) d.current = parser_.text_since(t.text, std::max(1U, name ? f.d : f.c)) + more;
  if (name ? parser_.progress(f.b).keys != 0 : item && f.b != 0) d.certain = false;  // it may have been there before
  frames(t.frame, d);
}

Closing::Length Closing::length(StateId state) {
  if (best_.empty() && rules_.empty()) learn();
  if (parser_.state(state).complete) return {0, true};
  Length least;
  const std::size_t count = parser_.state(state).threads.size();
  for (std::size_t i = 0; i < count; ++i) {
    Draft d;
    thread(parser_.state(state).threads[i], d);
    if (d.failed() || d.bytes > least.bytes || (d.bytes == least.bytes && least.certain)) continue;
    least = {d.bytes, d.certain};
  }
  return least;
}

bool Closing::write(StateId state, unsigned& searches, std::string& out) {
  const Length least = length(state);
  if (least.bytes == kNoLength) return false;
  if (least.bytes == 0) return true;
  const std::size_t before = out.size();
  const std::size_t count = parser_.state(state).threads.size();
  for (std::size_t i = 0; i < count; ++i) {
    Draft d;
    d.out = &out;
    thread(parser_.state(state).threads[i], d);
    if (!d.failed() && d.bytes == least.bytes && fits(state, std::string_view(out).substr(before))) return true;
    out.resize(before);
  }
  if (searches == 0) return false;
  --searches;
  return search(state, out);
}

bool Closing::fits(StateId state, std::string_view text) {
  const Parser::Mark mark = parser_.mark();
  const bool whole = parser_.state(parser_.run(state, text)).complete;
  parser_.release(mark);
  return whole;
}

// Best first by what seems to be missing, over the parser's own states.
bool Closing::search(StateId from, std::string& out) {
  struct Visit {
    StateId state;
    std::uint32_t before;
    std::uint8_t byte;
  };
  constexpr std::size_t kMostVisits = 300;
  std::vector<Visit> visits{{from, 0, 0}};
  std::unordered_set<StateId> seen{from};
  using Open = std::pair<std::uint32_t, std::uint32_t>;  // bytes that seem to be missing, visit
  std::priority_queue<Open, std::vector<Open>, std::greater<>> open;
  open.emplace(length(from).bytes, 0);
  const Parser::Mark mark = parser_.mark();
  std::uint32_t end = 0;
  for (std::size_t visited = 0; visited < kMostVisits && !open.empty() && end == 0; ++visited) {
    const std::uint32_t at = open.top().second;
    open.pop();
    for (unsigned b = 0; b < 256 && end == 0; ++b) {
      const StateId next = parser_.step(visits[at].state, static_cast<std::uint8_t>(b));
      if (next == kDeadState || !seen.insert(next).second) continue;
      visits.push_back({next, at, static_cast<std::uint8_t>(b)});
      const auto id = static_cast<std::uint32_t>(visits.size() - 1);
      if (parser_.state(next).complete) end = id;
      const std::uint32_t missing = length(next).bytes;
      if (missing != kNoLength) open.emplace(missing, id);
    }
  }
  parser_.release(mark);
  if (end == 0) return false;
  const std::size_t before = out.size();
  for (std::uint32_t i = end; i != 0; i = visits[i].before) out += static_cast<char>(visits[i].byte);
  std::reverse(out.begin() + static_cast<std::ptrdiff_t>(before), out.end());
  return true;
}

}  // namespace frugal::grammar

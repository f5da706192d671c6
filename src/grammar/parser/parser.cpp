#include "grammar/parser/parser.hpp"

#include <algorithm>

namespace frugal::grammar {

using Op = Frame::Op;

Parser::Parser(const Program& program) : program_(program), store_(program.store) { reset(); }

void Parser::reset() {
  frames_.shrink(0);
  progress_.shrink(0);
  texts_.shrink(0);
  lists_.shrink(0);
  states_.shrink(0);
  steps_.shrink(0);
  states_.add({}, false);  // kDeadState
  texts_.add({0, 256});    // no text
  texts_.add({0, 257});    // the empty text
  lists_.add({0, 256});    // the empty list
  frames_.add({});         // Op::end
  begin_closure();
  start_symbols(kNone, 0, 0, 0);
  start_ = end_closure();
}

StateId StateTable::add(std::span<const Thread> threads, bool complete) {
  std::uint64_t hash = complete ? 1 : 0;
  for (const Thread& t : threads) hash = mix_hash(mix_hash(hash, (std::uint64_t{t.q} << 32) | t.frame), t.text);
  std::size_t at = hash & (table_.size() - 1);
  for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
    const Entry& e = entries_[table_[at] - 1];
    if (e.hash == hash && e.complete == complete && std::ranges::equal((*this)[table_[at] - 1].threads, threads)) {
      return table_[at] - 1;
    }
  }
  entries_.push_back(
      {hash, static_cast<std::uint32_t>(pool_.size()), static_cast<std::uint32_t>(threads.size()), complete});
  pool_.insert(pool_.end(), threads.begin(), threads.end());
  table_[at] = static_cast<std::uint32_t>(entries_.size());
  if (entries_.size() * 2 > table_.size()) grow();
  return static_cast<StateId>(entries_.size() - 1);
}

void StateTable::shrink(std::size_t size) {
  for (; entries_.size() > size; entries_.pop_back()) {
    std::size_t at = entries_.back().hash & (table_.size() - 1);
    while (table_[at] != entries_.size()) at = (at + 1) & (table_.size() - 1);
    table_[at] = 0;
    pool_.resize(entries_.back().first);
  }
}

void StateTable::grow() {
  table_.assign(table_.size() * 2, 0);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    std::size_t at = entries_[i].hash & (table_.size() - 1);
    while (table_[at] != 0) at = (at + 1) & (table_.size() - 1);
    table_[at] = static_cast<std::uint32_t>(i + 1);
  }
}

void Parser::begin_closure() {
  building_.clear();
  complete_ = false;
  resumed_.clear();
  depth_ = 0;
}

StateId Parser::end_closure() {
  if (building_.size() > 1) {
    std::sort(building_.begin(), building_.end());
    building_.erase(std::unique(building_.begin(), building_.end()), building_.end());
  }
  const std::size_t before = states_.size();
  const StateId id = states_.add(building_, complete_);
  if (states_.size() != before && (states_.size() & 255) == 0 && memory() > program_.limits.answer_bytes) {
    over_limit("the answer needs more than " + std::to_string(program_.limits.answer_bytes >> 20) + " MiB of states");
  }
  return id;
}

StateId Parser::step(StateId state, std::uint8_t b) {
  if (const StepMemo* known = steps_.find({state, b, 0})) return known->to;
  begin_closure();
  const std::size_t count = states_[state].threads.size();
  for (std::size_t i = 0; i < count; ++i) {
    const Thread t = states_[state].threads[i];
    if (in_name(t)) {
      const Frame f = frames_[t.frame];
      const ObjectTable& table = program_.objects[f.a];
      const std::uint32_t node = table.names.step(t.q, b);
      if (node == kNone || !may_take_any(table, progress_[f.b], node)) continue;
      const std::uint32_t member = table.names.nodes[node].member;
      if (member == kNone) {
        building_.push_back({node, t.frame, append(t.text, b)});
      } else if (may_take(table, progress_[f.b], member)) {
        known_name(f, member, append(t.text, b));
      }
      continue;
    }
    const ExprId q = store_.step(t.q, b);
    if (q != kNothing) add(q, t.frame, append(t.text, b));
  }
  const StateId to = end_closure();
  steps_.add({state, b, to});
  return to;
}

StateId Parser::run(StateId state, std::string_view text) {
  for (const char c : text) {
    if (state == kDeadState) break;
    state = step(state, static_cast<std::uint8_t>(c));
  }
  return state;
}

void Parser::add(std::uint32_t q, std::uint32_t frame, std::uint32_t text) {
  if (q == kNothing) return;
  if (q != kEmptyText) building_.push_back({q, frame, text});
  if (building_.size() > program_.limits.threads) {
    over_limit("more than " + std::to_string(program_.limits.threads) + " readings of one text");
  }
  if (store_.accepts(q)) resume(frame, text);
}

void Parser::resume(std::uint32_t frame, std::uint32_t text) {
  const Frame f = frames_[frame];
  if (f.op == Op::sequence) {  // only there a lexeme and all after it can be empty, and lead back here
    if (std::find(resumed_.begin(), resumed_.end(), std::pair(frame, text)) != resumed_.end()) return;
    resumed_.emplace_back(frame, text);
    if (resumed_.size() > program_.limits.threads) over_limit("a grammar with too many readings of nothing");
  }
  switch (f.op) {
    case Op::end:
      complete_ = true;
      return;
    case Op::array_open:
      return array_open(f, text);
    case Op::array_item:
      return array_item(f, text);
    case Op::array_next:
      return start_item(f, text);
    case Op::unique_item:
      return unique_item(f, text);
    case Op::object_open:
      return object_open(f, text);
    case Op::object_name:
      return;
    case Op::object_key:
      return other_name(f, text);
    case Op::object_value:
      return start_value(f.c, add_frame({Op::object_member, f.a, f.b, 0, 0, f.parent}), text);
    case Op::object_member:
      return object_member(f, text);
    case Op::object_next:
      return object_members(f, text);
    case Op::sequence:
      return start_symbols(f.a, f.b, f.parent, text);
  }
}

void Parser::start_value(ValueId value, std::uint32_t frame, std::uint32_t text, std::uint32_t others) {
  const ValueNode& node = program_.values[value];
  add(others == 0 ? node.scalar : without(node.scalar, others), frame, text);
  for (const std::uint32_t a : node.arrays)
    add(program_.open_array, add_frame({Op::array_open, a, 0, 0, 0, frame}), text);
  for (const std::uint32_t o : node.objects)
    add(program_.open_object, add_frame({Op::object_open, o, 0, 0, 0, frame}), text);
}

// The symbols of a production from `place` on, then `parent`. A last symbol needs no frame of its own.
void Parser::start_symbols(std::uint32_t production, std::uint32_t place, std::uint32_t parent, std::uint32_t text) {
  const std::vector<Symbol>& symbols = production == kNone ? program_.start : program_.productions[production];
  if (place == symbols.size()) return resume(parent, text);
  const bool last = place + 1 == symbols.size();
  const std::uint32_t next = last ? parent : add_frame({Op::sequence, production, place + 1, 0, 0, parent});
  const Symbol symbol = symbols[place];
  if (symbol.kind == Symbol::Kind::terminal) return add(symbol.id, next, text);
  if (symbol.kind == Symbol::Kind::value) return start_value(symbol.id, next, text);
  const std::pair key{~symbol.id, next};  // a rule that begins with itself has been rewritten; one can still come twice
  if (std::find(resumed_.begin(), resumed_.end(), key) != resumed_.end()) return;
  resumed_.push_back(key);
  if (resumed_.size() > program_.limits.threads * 8) over_limit("a grammar with too many readings at one place");
  constexpr std::size_t kDeepest = 1'000;
  if (++depth_ > kDeepest) over_limit("rules that begin with rules, more than 1,000 deep");
  for (const std::uint32_t p : program_.rules[symbol.id]) start_symbols(p, 0, next, text);
  --depth_;
}

StateId Parser::after(const Thread& t, std::string_view more) {
  begin_closure();
  std::uint32_t text = t.text;
  for (const char c : more) text = append(text, static_cast<std::uint8_t>(c));
  resume(t.frame, text);
  return end_closure();
}

StateId Parser::alone(const Thread& t) {
  begin_closure();
  building_.push_back(t);
  return end_closure();
}

bool Parser::text_matters(const Thread& t) const {
  if (t.text == 0) return false;
  const Frame& f = frames_[t.frame];
  if (f.op != Op::object_key || f.d != 0) return true;
  const std::string key = text_since(t.text, 1);
  for (std::uint32_t list = progress_[f.b].keys; list != 0; list = lists_[list].before) {
    if (text_since(lists_[list].value, 1).starts_with(key)) return true;
  }
  return false;
}

unsigned Parser::next_bytes(StateId state, std::uint8_t& only) {
  ByteSet first;
  unsigned count = 0;
  const auto found = [&](std::uint8_t b) {
    if (first.has(b)) return;
    first.add(b);
    only = b;
    ++count;
  };
  for (std::size_t i = 0; i < states_[state].threads.size() && count < 2; ++i) {
    for (unsigned b = 0; b < 256 && count < 2; ++b) {
      const auto byte = static_cast<std::uint8_t>(b);
      const Thread t = states_[state].threads[i];
      if (!in_name(t) ? store_.step(t.q, byte) != kNothing
                      : program_.objects[frames_[t.frame].a].names.step(t.q, byte) != kNone) {
        if (step(state, byte) != kDeadState) found(byte);
      }
    }
  }
  return count;
}

std::string Parser::text_since(std::uint32_t text, std::uint32_t start) const {
  std::string out;
  for (; text != start && text > 1; text = texts_[text].before) out += static_cast<char>(texts_[text].value);
  std::reverse(out.begin(), out.end());
  return out;
}

bool Parser::in_list(std::uint32_t list, std::string_view text) const {
  for (; list != 0; list = lists_[list].before) {
    if (text_since(lists_[list].value, 1) == text) return true;
  }
  return false;
}

Parser::Mark Parser::mark() const {
  return {states_.size(), frames_.size(), progress_.size(), texts_.size(), lists_.size(), steps_.size()};
}

void Parser::release(const Mark& mark) {
  states_.shrink(mark.states);
  frames_.shrink(mark.frames);
  progress_.shrink(mark.progress);
  texts_.shrink(mark.texts);
  lists_.shrink(mark.lists);
  steps_.shrink(mark.steps);
}

std::size_t Parser::memory() const {
  return frames_.memory() + progress_.memory() + texts_.memory() + lists_.memory() + states_.memory() +
         steps_.memory() + progress_.size() * 16;
}

}  // namespace frugal::grammar

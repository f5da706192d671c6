// Parser: all ways of reading a text by a program, followed at once, byte by byte.
//
// A thread is one reading: an automaton's state inside a lexeme, and the frame that says what comes after it. Frames are
// linked and never change, so readings share what they have in common, and a state of the parser is just a number: to
// remember one is to fork, to go back to one is to roll back. States, frames and steps are stored once; a step that was
// made before is looked up. One thread of the host at a time.
#pragma once

#include "grammar/expr/counters.hpp"
#include "grammar/parser/interned.hpp"
#include "grammar/program.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

namespace frugal::grammar {

using StateId = std::uint32_t;
constexpr StateId kDeadState = 0;

/// What a finished lexeme leads to. `a`: a table or production; the rest as each needs it.
struct Frame {
  enum class Op : std::uint32_t {
    end,            ///< the text is whole
    array_open,     ///< after [                 a: array
    array_item,     ///< after an item           a: array, b: items, c: counts of contains, d: items' texts
    array_next,     ///< after the comma         as above
    unique_item,    ///< after an item of a list without equal ones: b: texts, c: text before it
    object_open,    ///< after {                 a: object
    object_name,    ///< in a known name         a: object, b: progress
    object_key,     ///< in another name         a: object, b: progress, c: class, d: text before it
    object_value,   ///< after the colon         a: object, b: progress, c: value
    object_member,  ///< after a member          a: object, b: progress
    object_next,    ///< after the comma         a: object, b: progress
    sequence        ///< after a symbol          a: production, b: place in it
  };
  Op op = Op::end;
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  std::uint32_t parent = 0;
  bool operator==(const Frame&) const = default;
  std::uint64_t hash() const {
    const std::uint64_t h =
        mix_hash((std::uint64_t{static_cast<std::uint32_t>(op)} << 32) | a, (std::uint64_t{b} << 32) | c);
    return mix_hash(h, (std::uint64_t{d} << 32) | parent);
  }
};

/// How far an object has come.
struct Progress {
  std::uint32_t count = 0;  ///< members, as far as they matter
  std::uint32_t met = 0;    ///< obligations
  std::uint32_t keys = 0;   ///< other names, as a list
  std::uint32_t from = 0;   ///< with an order: the first member that may still come
  std::vector<std::uint64_t> seen{};
  bool has(std::uint32_t member) const { return ((seen[member / 64] >> (member % 64)) & 1) != 0; }
  bool operator==(const Progress&) const = default;
  std::uint64_t hash() const {
    std::uint64_t h = mix_hash((std::uint64_t{count} << 32) | met, (std::uint64_t{keys} << 32) | from);
    for (const std::uint64_t w : seen) h = mix_hash(h, w);
    return h;
  }
};

struct Thread {
  std::uint32_t q = 0;  ///< an expression; in a known name, a node of the trie
  std::uint32_t frame = 0;
  std::uint32_t text = 0;  ///< what was read since it began to matter; 0 where it does not
  auto operator<=>(const Thread&) const = default;
};

/// A set of threads, sorted.
struct ParserState {
  std::span<const Thread> threads{};  ///< valid until the parser's next step
  bool complete = false;              ///< the text may end here
};

/// States by number, their threads in one list. As Interned.
class StateTable {
 public:
  StateTable() : table_(256, 0) {}
  StateId add(std::span<const Thread> threads, bool complete);
  ParserState operator[](StateId id) const {
    return {{pool_.data() + entries_[id].first, entries_[id].count}, entries_[id].complete};
  }
  std::size_t size() const { return entries_.size(); }
  void shrink(std::size_t size);
  std::size_t memory() const {
    return pool_.capacity() * sizeof(Thread) + entries_.capacity() * sizeof(Entry) + table_.capacity() * 4;
  }

 private:
  struct Entry {
    std::uint64_t hash;
    std::uint32_t first, count;
    bool complete;
  };
  void grow();

  std::vector<Thread> pool_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> table_;  // open addressing; 0 = free, else id + 1
};

class Parser {
 public:
  explicit Parser(const Program& program);

  /// Forgets all but what the program's expressions have learned.
  void reset();
  StateId start() const { return start_; }
  /// kDeadState where no whole text goes on so.
  StateId step(StateId state, std::uint8_t b);
  StateId run(StateId state, std::string_view text);
  ParserState state(StateId id) const { return states_[id]; }

  /// What follows when the lexeme of `t` ends after reading `more` in addition.
  StateId after(const Thread& t, std::string_view more);
  /// The state in which `t` is the only reading.
  StateId alone(const Thread& t);
  /// after() depends on the text, beyond the state of the lexeme: names and items that must not come twice.
  bool text_matters(const Thread& t) const;
  /// A thread in a known name walks the trie of names, not an automaton.
  bool in_name(const Thread& t) const { return frames_[t.frame].op == Frame::Op::object_name; }
  /// The bytes that may follow; stops once there are two.
  unsigned next_bytes(StateId state, std::uint8_t& only);

  // For Closing.
  const Frame& frame(std::uint32_t id) const { return frames_[id]; }
  const Progress& progress(std::uint32_t id) const { return progress_[id]; }
  Progress no_progress(std::uint32_t object) const;
  bool may_add_item(const ArrayTable& table, const Frame& at);
  bool contains_holds(const ArrayTable& table, std::uint32_t counts) const;
  /// The counts of "contains" after an item in these roles; none where one of them may not come again.
  static std::optional<std::uint32_t> counts_with(const ArrayTable& table, std::uint32_t counts, std::uint32_t meets);
  bool may_take(const ObjectTable& table, const Progress& p, std::uint32_t member);
  Progress with_member(const ObjectTable& table, const Progress& p, std::uint32_t member, std::uint32_t meets) const;
  std::string text_since(std::uint32_t text, std::uint32_t start) const;
  std::vector<std::string> texts_of(std::uint32_t list) const;
  /// The texts of the language but those whose value is one of these.
  ExprId minus(ExprId language, const std::vector<std::string>& values);
  bool may_take_class(const ObjectTable& table, const Progress& p, const ObjectTable::NameClass& names) const;

  ExprStore& store() { return store_; }
  const Program& program() const { return program_; }
  std::size_t memory() const;

  struct Mark {
    std::size_t states, frames, progress, texts, lists, steps;
  };
  Mark mark() const;
  /// Forgets what has been added since; states from before stay valid.
  void release(const Mark& mark);

 private:
  struct Letter {  // texts and lists are linked backwards
    std::uint32_t before = 0, value = 0;
    bool operator==(const Letter&) const = default;
    std::uint64_t hash() const { return mix_hash(17, (std::uint64_t{before} << 32) | value); }
  };
  struct StepMemo {
    StateId from = 0;
    std::uint32_t byte = 0;
    StateId to = 0;
    bool operator==(const StepMemo& o) const { return from == o.from && byte == o.byte; }
    std::uint64_t hash() const { return mix_hash(from, byte); }
  };

  void begin_closure();
  StateId end_closure();
  void add(std::uint32_t q, std::uint32_t frame, std::uint32_t text);
  void resume(std::uint32_t frame, std::uint32_t text);
  void start_value(ValueId value, std::uint32_t frame, std::uint32_t text, std::uint32_t others = 0);
  void start_symbols(std::uint32_t production, std::uint32_t place, std::uint32_t parent, std::uint32_t text);
  std::uint32_t add_frame(Frame frame) { return frames_.add(frame); }

  void array_open(const Frame& f, std::uint32_t text);
  void array_item(Frame f, std::uint32_t text);
  void start_item(Frame f, std::uint32_t text);
  void unique_item(const Frame& f, std::uint32_t text);

  void object_open(const Frame& f, std::uint32_t text);
  void object_members(const Frame& f, std::uint32_t text);
  void object_member(const Frame& f, std::uint32_t text);
  void known_name(const Frame& f, std::uint32_t member, std::uint32_t text);
  void other_name(const Frame& f, std::uint32_t text);
  void after_name(const Frame& f, Progress progress, const std::vector<ObjectTable::Choice>& choices,
                  std::uint32_t text);
  bool may_take_any(const ObjectTable& table, const Progress& p, std::uint32_t trie_node);

  // feasible.cpp: what can still come to an end.
  bool list_can_end(const ArrayTable& table, std::uint32_t count, std::uint32_t counts) const;
  bool can_end(const ObjectTable& table, const Progress& p) const;
  bool obligations_can_be_met(const ObjectTable& table, const Progress& p, const std::vector<bool>& needed,
                              std::uint32_t room) const;
  bool still_free(const ObjectTable& table, const Progress& p, std::uint32_t member) const;
  ExprId without(ExprId language, std::uint32_t list);
  ExprId same_number(const std::string& text, const Decimal& number);
  bool may_take_others(const ObjectTable& table, const Progress& p) const;
  bool may_close(const ObjectTable& table, const Progress& p) const;
  std::uint32_t missing(const ObjectTable& table, const Progress& p) const;

  std::uint32_t append(std::uint32_t text, std::uint8_t b) { return text == 0 ? 0 : texts_.add({text, b}); }
  bool in_list(std::uint32_t list, std::string_view text) const;

  const Program& program_;
  ExprStore store_;
  Interned<Frame> frames_;
  Interned<Progress> progress_;
  Interned<Letter> texts_;  // 0: none, 1: the empty text
  Interned<Letter> lists_;  // of texts; 0: empty
  StateTable states_;
  Interned<StepMemo> steps_;
  StateId start_ = 0;
  // One closure: what a byte or a finished lexeme leads to.
  std::vector<Thread> building_;
  bool complete_ = false;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> resumed_;
  std::size_t depth_ = 0;
  // Looked up again and again while names are tried.
  struct Tied {
    std::uint32_t object = kNone;
    Progress progress{};
    std::vector<std::uint8_t> may{};  // by member: 0 = not looked at, 1 = no, 2 = yes
  };
  Tied tied_;
  std::unordered_map<std::string, ExprId> same_;  // numbers by their canonical text, in all spellings
};

}  // namespace frugal::grammar

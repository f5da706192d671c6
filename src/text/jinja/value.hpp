// Value: what a template computes with, a subset of Python's objects with Python's semantics.
//
// Small, copied by reference count. Everything but a Space (namespace, loop) and the position of an iterator is
// immutable once built, as in jinja2's immutable sandbox; so values form no cycles except through a Space, and the run
// that made the Spaces empties them at its end. Values that a compiled template holds are never iterators and may be
// read by many threads.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/marked_text.hpp"

namespace frugal::jinja {

class Run;
class Value;
struct Sequence;
class Dict;
struct Space;
struct Function;

/// What went wrong while a template runs; the run adds name and line.
struct Failure {
  enum Kind { mistake, limit, lacking };
  std::string message;
  Kind kind = mistake;  ///< limit: one of ours was passed; lacking: Jinja that we do not have
};
[[noreturn]] void fail(std::string message);
[[noreturn]] void fail_limit(std::string message);
[[noreturn]] void fail_lacking(std::string message);

/// Containers inside containers end at this depth, so that recursion over a value is safe.
inline constexpr std::uint32_t kMaxValueDepth = 200;

/// A value, written out, has at most this weight: [x, x] of [y, y] of ... would otherwise take 2^depth steps to print.
inline constexpr std::uint64_t kMaxValueWeight = 1U << 20;

/// Depth of nesting, the steps it takes to print or compare a value (64 bytes of text are one), and whether any text in
/// it comes from the caller.
struct Extent {
  std::uint32_t depth = 0;
  std::uint64_t weight = 1;
  bool content = false;
  /// The extent of a container that also holds `inner`; fails beyond the maxima.
  void add(const Extent& inner);
};

/// jinja2's default Undefined: prints as nothing, is empty and false, and fails in any operation.
struct Undefined {
  std::shared_ptr<const std::string> hint;  ///< what the operation that fails will say
};
struct None {};
/// An integer beyond 64 bits: kept as digits, may be printed and compared for equality, not computed with.
struct BigInt {
  std::shared_ptr<const std::string> digits;
};

class Value {
 public:
  using Text = std::shared_ptr<const MarkedText>;
  using State = std::variant<Undefined, None, bool, std::int64_t, BigInt, double, Text, std::shared_ptr<const Sequence>,
                             std::shared_ptr<const Dict>, std::shared_ptr<Space>, std::shared_ptr<const Function>>;

  Value() = default;
  Value(None none) : state_(none) {}
  Value(bool truth) : state_(truth) {}
  Value(std::int64_t number) : state_(number) {}
  Value(BigInt number) : state_(std::move(number)) {}
  Value(double number) : state_(number) {}
  Value(MarkedText text) : state_(std::make_shared<const MarkedText>(std::move(text))) {}
  Value(std::string text) : Value(MarkedText(std::move(text))) {}  ///< the template's own
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(std::shared_ptr<const Sequence> items) : state_(std::move(items)) {}
  Value(std::shared_ptr<const Dict> dict) : state_(std::move(dict)) {}
  Value(std::shared_ptr<Space> space) : state_(std::move(space)) {}
  Value(std::shared_ptr<const Function> function) : state_(std::move(function)) {}

  static Value undefined(std::string hint);

  template <class T>
  const T* as() const noexcept {
    return std::get_if<T>(&state_);
  }
  const MarkedText* marked() const noexcept { return pointee<Text>(); }
  const std::string* text() const noexcept { return marked() != nullptr ? &marked()->bytes() : nullptr; }
  const Sequence* sequence() const noexcept { return pointee<std::shared_ptr<const Sequence>>(); }
  const Dict* dict() const noexcept { return pointee<std::shared_ptr<const Dict>>(); }
  Space* space() const noexcept { return pointee<std::shared_ptr<Space>>(); }
  const Function* function() const noexcept { return pointee<std::shared_ptr<const Function>>(); }

  bool is_undefined() const noexcept { return as<Undefined>() != nullptr; }
  bool is_none() const noexcept { return as<None>() != nullptr; }
  bool is_number() const noexcept {
    return integer().has_value() || as<double>() != nullptr || as<BigInt>() != nullptr;
  }
  /// An int, or a bool as the int it is in Python.
  std::optional<std::int64_t> integer() const noexcept;
  /// Any number but a BigInt.
  std::optional<double> real() const noexcept;

  const State& state() const noexcept { return state_; }
  /// Why an undefined value is undefined.
  const std::string& hint() const noexcept;
  /// Python's name of the type, e.g. "str".
  std::string type_name() const;
  Extent extent() const noexcept;

 private:
  template <class P>
  auto pointee() const noexcept -> decltype(std::declval<P>().get()) {
    const P* held = as<P>();
    return held != nullptr ? held->get() : nullptr;
  }
  State state_;
};

enum class Flavor { list, tuple, range, iterator, keys, values, items };

/// Everything that is iterated by position. An iterator is consumed by the first loop over it, as a Python generator
/// is.
struct Sequence {
  Flavor flavor = Flavor::list;
  std::vector<Value> items;
  Extent extent{1, 1};
  std::string shown;           ///< how a range prints
  mutable bool spent = false;  ///< of an iterator only
};

/// Fails beyond the maxima of an Extent.
Value make_sequence(std::vector<Value> items, Flavor flavor = Flavor::list);

/// Any order in which equal keys are equal; fails for what Python cannot hash. Not a hash table: those have bad cases,
/// and the keys may come from anyone.
struct KeyLess {
  bool operator()(const Value& a, const Value& b) const;
};

/// A dict in insertion order. Built first, then shared as const.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;
  const std::vector<Entry>& entries() const noexcept { return entries_; }
  std::size_t size() const noexcept { return entries_.size(); }
  const Extent& extent() const noexcept { return extent_; }
  /// Null where the key is absent. Fails for a key that Python cannot hash.
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  void set(Value key, Value value);

 private:
  std::size_t index_of(const Value& key) const;

  std::vector<Entry> entries_;
  std::map<Value, std::size_t, KeyLess> index_;  ///< used from kIndexed entries on
  Extent extent_{1, 1};
};

/// An object with attributes: a namespace (assignable) or the `loop` of a for.
struct Space {
  std::string type;
  std::unordered_map<std::string, Value> attributes;
  std::function<std::optional<Value>(std::string_view)> computed{};  ///< asked for what is not in `attributes`
};

/// Arguments of a call, a filter or a test.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Function {
  std::string name;
  std::function<Value(Run&, const Args&)> call;
};

/// Arguments by parameter name; null where not given.
class Bound {
 public:
  /// Fails for too many arguments, an unknown name or a name given twice.
  Bound(const Args& args, std::string_view function, std::initializer_list<std::string_view> names);
  const Value* operator[](std::size_t i) const { return values_[i]; }
  const Value& require(std::size_t i) const;
  Value get(std::size_t i, Value otherwise) const { return values_[i] != nullptr ? *values_[i] : otherwise; }

 private:
  std::string function_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> values_;
};

bool truthy(const Value& value);
bool equal(const Value& a, const Value& b, std::uint32_t depth = 0);
/// a < b as Python orders them; fails for types without an order. `op` is shown in the message.
bool less(const Value& a, const Value& b, std::string_view op = "<");
/// The very same object, as far as one can tell: Python's `is`.
bool same(const Value& a, const Value& b) noexcept;

}  // namespace frugal::jinja

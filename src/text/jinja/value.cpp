// See value.hpp: construction, equality, order, hashing.
#include "text/jinja/value.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace frugal::jinja {
namespace {

constexpr std::size_t kIndexed = 12;  // below, a scan of the entries is faster than hashing
constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);

// Lists equal lists and tuples equal tuples, never each other; views and iterators equal only themselves.
bool comparable(Flavor a, Flavor b) noexcept { return a == b && a != Flavor::iterator && a != Flavor::values; }

bool equal_sequences(const Sequence& a, const Sequence& b, std::uint32_t depth) {
  if (&a == &b) return true;
  if (!comparable(a.flavor, b.flavor) || a.items.size() != b.items.size()) return false;
  return std::equal(a.items.begin(), a.items.end(), b.items.begin(),
                    [&](const Value& x, const Value& y) { return equal(x, y, depth + 1); });
}

bool equal_dicts(const Dict& a, const Dict& b, std::uint32_t depth) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(), [&](const Dict::Entry& entry) {
    const Value* other = b.find(entry.first);
    return other != nullptr && equal(entry.second, *other, depth + 1);
  });
}

bool less_sequences(const Sequence& a, const Sequence& b, std::string_view op) {
  const std::size_t common = std::min(a.items.size(), b.items.size());
  for (std::size_t i = 0; i < common; ++i) {
    if (!equal(a.items[i], b.items[i])) return less(a.items[i], b.items[i], op);
  }
  return a.items.size() < b.items.size();
}

}  // namespace

void Extent::add(const Extent& inner) {
  depth = std::max(depth, inner.depth + 1);
  weight += inner.weight;
  content = content || inner.content;
  if (depth > kMaxValueDepth) fail_limit("values nested deeper than " + std::to_string(kMaxValueDepth));
  if (weight > kMaxValueWeight) fail_limit("a value of more than " + std::to_string(kMaxValueWeight) + " parts");
}

void fail(std::string message) { throw Failure{std::move(message), Failure::mistake}; }
void fail_limit(std::string message) { throw Failure{std::move(message), Failure::limit}; }
void fail_lacking(std::string message) { throw Failure{std::move(message), Failure::lacking}; }

Value Value::undefined(std::string hint) {
  Value out;
  out.state_ = Undefined{std::make_shared<const std::string>(std::move(hint))};
  return out;
}

std::optional<std::int64_t> Value::integer() const noexcept {
  if (const auto* number = as<std::int64_t>()) return *number;
  if (const auto* truth = as<bool>()) return *truth ? 1 : 0;
  return std::nullopt;
}

std::optional<double> Value::real() const noexcept {
  if (const auto* number = as<double>()) return *number;
  if (const auto number = integer()) return static_cast<double>(*number);
  return std::nullopt;
}

std::string Value::type_name() const {
  static constexpr const char* kNames[] = {"Undefined", "NoneType", "bool", "int",    "int",     "float",
                                           "str",       "list",     "dict", "object", "function"};
  if (const Sequence* items = sequence()) {
    static constexpr const char* kFlavors[] = {"list",      "tuple",       "range",     "generator",
                                               "dict_keys", "dict_values", "dict_items"};
    return kFlavors[static_cast<std::size_t>(items->flavor)];
  }
  if (const Space* held = space()) return held->type;
  return kNames[state_.index()];
}

const std::string& Value::hint() const noexcept {
  static const std::string unknown = "the value is undefined";
  const auto* held = as<Undefined>();
  return held != nullptr && held->hint != nullptr ? *held->hint : unknown;
}

Extent Value::extent() const noexcept {
  if (const Sequence* items = sequence()) return items->extent;
  if (const Dict* held = dict()) return held->extent();
  if (const MarkedText* held = marked()) return {0, 1 + held->size() / 64, held->has_content()};
  return {};
}

Value make_sequence(std::vector<Value> items, Flavor flavor) {
  auto out = std::make_shared<Sequence>();
  for (const Value& item : items) out->extent.add(item.extent());
  out->flavor = flavor;
  out->items = std::move(items);
  return Value(std::shared_ptr<const Sequence>(std::move(out)));
}

bool KeyLess::operator()(const Value& a, const Value& b) const {
  const auto kind = [](const Value& v) -> std::size_t { return v.real() ? 0 : 1 + v.state().index(); };
  for (const Value* key : {&a, &b}) {
    const Sequence* items = key->sequence();
    if (key->dict() != nullptr || (items != nullptr && items->flavor != Flavor::tuple))
      fail("unhashable type: '" + key->type_name() + "'");
  }
  if (kind(a) != kind(b)) return kind(a) < kind(b);
  if (const auto x = a.integer(), y = b.integer(); x && y) return *x < *y;
  if (const auto x = a.real()) return *x < *b.real();  // 1, 1.0 and true are one key
  if (const std::string* text = a.text()) return *text < *b.text();
  if (const auto* big = a.as<BigInt>()) return *big->digits < *b.as<BigInt>()->digits;
  if (const Sequence* items = a.sequence()) {
    const std::vector<Value>& others = b.sequence()->items;
    return std::lexicographical_compare(items->items.begin(), items->items.end(), others.begin(), others.end(), *this);
  }
  return a.space() != nullptr ? a.space() < b.space() : a.function() < b.function();
}

std::size_t Dict::index_of(const Value& key) const {
  KeyLess()(key, key);  // refuses keys that Python refuses
  if (entries_.size() >= kIndexed) {
    const auto it = index_.find(key);
    return it != index_.end() ? it->second : kAbsent;
  }
  const auto it = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return equal(e.first, key); });
  return it != entries_.end() ? static_cast<std::size_t>(it - entries_.begin()) : kAbsent;
}

const Value* Dict::find(const Value& key) const {
  const std::size_t at = index_of(key);
  return at != kAbsent ? &entries_[at].second : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  if (entries_.size() >= kIndexed) return find(Value(key));
  for (const Entry& entry : entries_) {
    if (const std::string* text = entry.first.text(); text != nullptr && *text == key) return &entry.second;
  }
  return nullptr;
}

void Dict::set(Value key, Value value) {
  extent_.add(key.extent());
  extent_.add(value.extent());
  const std::size_t at = index_of(key);
  if (at != kAbsent) {
    entries_[at].second = std::move(value);
    return;
  }
  entries_.emplace_back(std::move(key), std::move(value));
  if (entries_.size() == kIndexed) {
    for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(entries_[i].first, i);
  } else if (entries_.size() > kIndexed) {
    index_.emplace(entries_.back().first, entries_.size() - 1);
  }
}

Bound::Bound(const Args& args, std::string_view function, std::initializer_list<std::string_view> names)
    : function_(function), names_(names), values_(names.size(), nullptr) {
  if (args.positional.size() > names_.size()) {
    fail(function_ + " takes at most " + std::to_string(names_.size()) + " arguments, got " +
         std::to_string(args.positional.size()));
  }
  for (std::size_t i = 0; i < args.positional.size(); ++i) values_[i] = &args.positional[i];
  for (const auto& [name, value] : args.named) {
    const auto it = std::find(names_.begin(), names_.end(), name);
    if (it == names_.end()) fail(function_ + " takes no argument '" + name + "'");
    const Value*& slot = values_[static_cast<std::size_t>(it - names_.begin())];
    if (slot != nullptr) fail(function_ + " got two values for '" + name + "'");
    slot = &value;
  }
}

const Value& Bound::require(std::size_t i) const {
  if (values_[i] == nullptr) fail(function_ + " needs the argument '" + std::string(names_[i]) + "'");
  return *values_[i];
}

bool truthy(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const auto number = value.real()) return *number != 0;
  if (const std::string* text = value.text()) return !text->empty();
  if (const Dict* dict = value.dict()) return dict->size() > 0;
  if (const Sequence* items = value.sequence()) return items->flavor == Flavor::iterator || !items->items.empty();
  return true;
}

bool equal(const Value& a, const Value& b, std::uint32_t depth) {
  if (depth > kMaxValueDepth) fail_limit("values nested too deeply to compare");
  if (const auto x = a.integer(), y = b.integer(); x && y) return *x == *y;
  if (const auto x = a.real(), y = b.real(); x && y) return *x == *y;
  if (a.state().index() != b.state().index()) return false;
  if (const std::string* text = a.text()) return *text == *b.text();
  if (const auto* big = a.as<BigInt>()) return *big->digits == *b.as<BigInt>()->digits;
  if (const Sequence* items = a.sequence()) return equal_sequences(*items, *b.sequence(), depth);
  if (const Dict* dict = a.dict()) return equal_dicts(*dict, *b.dict(), depth);
  return same(a, b);
}

bool less(const Value& a, const Value& b, std::string_view op) {
  if (a.is_undefined() || b.is_undefined()) fail((a.is_undefined() ? a : b).hint());
  if (const auto x = a.integer(), y = b.integer(); x && y) return *x < *y;
  if (const auto x = a.real(), y = b.real(); x && y) return *x < *y;
  if (const std::string* x = a.text(), *y = b.text(); x != nullptr && y != nullptr) return *x < *y;
  if (const Sequence* x = a.sequence(), *y = b.sequence(); x != nullptr && y != nullptr && x->flavor == y->flavor) {
    if (x->flavor == Flavor::list || x->flavor == Flavor::tuple) return less_sequences(*x, *y, op);
  }
  fail("'" + std::string(op) + "' not supported between instances of '" + a.type_name() + "' and '" + b.type_name() +
       "'");
}

bool same(const Value& a, const Value& b) noexcept {
  if (a.state().index() != b.state().index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (const auto number = a.integer()) return *number == *b.integer();
  if (const std::string* text = a.text()) return text == b.text() || *text == *b.text();
  if (a.sequence() != nullptr) return a.sequence() == b.sequence();
  if (a.dict() != nullptr) return a.dict() == b.dict();
  if (a.space() != nullptr) return a.space() == b.space();
  if (a.function() != nullptr) return a.function() == b.function();
  return false;
}

}  // namespace frugal::jinja

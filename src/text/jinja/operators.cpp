// See operators.hpp: arithmetic, comparison, access.
#include "text/jinja/operators.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "text/jinja/builtins.hpp"
#include "text/jinja/run.hpp"
#include "text/jinja/str.hpp"

namespace frugal::jinja {
namespace {

[[noreturn]] void fail_overflow() { fail("the result does not fit in 64 bits"); }

[[noreturn]] void fail_operands(std::string_view op, const Value& a, const Value& b) {
  if (a.is_undefined() || b.is_undefined()) fail((a.is_undefined() ? a : b).hint());
  fail("unsupported operand types for " + std::string(op) + ": '" + a.type_name() + "' and '" + b.type_name() + "'");
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  if (b == -1) {
    std::int64_t out = 0;
    return __builtin_sub_overflow(std::int64_t{0}, a, &out) ? (fail_overflow(), 0) : out;
  }
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a % b < 0) != (b < 0) ? quotient - 1 : quotient;
}

std::int64_t floor_mod(std::int64_t a, std::int64_t b) {
  if (b == -1) return 0;
  const std::int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_mod(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

Value int_power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) fail("0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  std::int64_t out = 1;
  bool overflow = false;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) overflow |= __builtin_mul_overflow(out, base, &out);
    if (exponent > 1 && base != 0 && base != 1) overflow |= __builtin_mul_overflow(base, base, &base);
    if (overflow) fail_overflow();
  }
  return Value(out);
}

Value int_binary(std::string_view op, std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  bool overflow = false;
  if (op == "+") {
    overflow = __builtin_add_overflow(a, b, &out);
  } else if (op == "-") {
    overflow = __builtin_sub_overflow(a, b, &out);
  } else if (op == "*") {
    overflow = __builtin_mul_overflow(a, b, &out);
  } else if (op == "**") {
    return int_power(a, b);
  } else if (b == 0) {
    fail("division by zero");
  } else if (op == "/") {
    return Value(static_cast<double>(a) / static_cast<double>(b));
  } else {
    out = op == "//" ? floor_div(a, b) : floor_mod(a, b);
  }
  if (overflow) fail_overflow();
  return Value(out);
}

Value real_binary(std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") {
    if ((a == 0 && b < 0) || (a < 0 && b != std::floor(b))) fail("the power is not a real number");
    const double out = std::pow(a, b);
    if (std::isinf(out) && !std::isinf(a) && !std::isinf(b)) fail("the power is too large");
    return Value(out);
  }
  if (b == 0) fail("float division by zero");
  if (op == "/") return Value(a / b);
  const double rest = floor_mod(a, b);
  if (op == "%") return Value(rest);
  const double quotient = (a - rest) / b;
  return Value(quotient == 0 ? std::copysign(0.0, a / b) : std::floor(quotient + 0.5));
}

Value repeated(Run& run, const Value& value, std::int64_t times) {
  const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(times, 0));
  if (const MarkedText* text = value.marked()) {
    if (count > 0 && text->size() > (std::uint64_t{1} << 32) / count) fail_limit("a text repeated beyond all limits");
    run.charge_bytes(text->size() * count);
    MarkedText out;
    for (std::uint64_t i = 0; i < (text->size() == 0 ? 0 : count); ++i) out.append(*text);
    out.markup = text->markup;
    return Value(std::move(out));
  }
  const std::vector<Value>& items = value.sequence()->items;
  if (count > 0 && items.size() > (std::uint64_t{1} << 32) / count) fail_limit("a list repeated beyond all limits");
  run.charge_bytes(items.size() * count * sizeof(Value));
  std::vector<Value> out;
  for (std::uint64_t i = 0; i < (items.empty() ? 0 : count); ++i) out.insert(out.end(), items.begin(), items.end());
  return make_sequence(std::move(out), value.sequence()->flavor);
}

bool repeatable(const Value& value) {
  return value.text() != nullptr || (value.sequence() != nullptr && value.sequence()->flavor <= Flavor::tuple);
}

Value joined(Run& run, const Value& a, const Value& b) {
  if (a.text() != nullptr && b.text() != nullptr) {
    run.charge_bytes(a.text()->size() + b.text()->size());
    const bool markup = a.marked()->markup || b.marked()->markup;  // the other side is escaped
    MarkedText out = markup ? escaped(*a.marked()) : *a.marked();
    out.append(markup ? escaped(*b.marked()) : *b.marked());
    return Value(std::move(out));
  }
  const Sequence *x = a.sequence(), *y = b.sequence();
  if (x == nullptr || y == nullptr || x->flavor != y->flavor || x->flavor > Flavor::tuple) fail_operands("+", a, b);
  std::vector<Value> out = x->items;
  out.insert(out.end(), y->items.begin(), y->items.end());
  return make_sequence(std::move(out), x->flavor);
}

// Python's slice.indices: the first index, and how many.
struct Span {
  std::int64_t start = 0, step = 1;
  std::size_t count = 0;
};

std::optional<std::int64_t> bound_of(const Value& value) {
  if (value.is_none()) return std::nullopt;
  if (!value.integer()) fail("slice indices must be integers or none, not " + value.type_name());
  return value.integer();
}

Span span_of(std::int64_t size, const Value& start, const Value& stop, const Value& step) {
  Span out;
  out.step = std::clamp<std::int64_t>(bound_of(step).value_or(1), -(std::int64_t{1} << 40), std::int64_t{1} << 40);
  if (out.step == 0) fail("slice step cannot be zero");
  const std::int64_t low = out.step > 0 ? 0 : -1, high = out.step > 0 ? size : size - 1;
  const auto clip = [&](std::int64_t i) {
    return std::clamp(i < 0 && i >= -size ? i + size : (i < 0 ? low : i), low, high);
  };
  const auto from = bound_of(start), to = bound_of(stop);
  out.start = from ? clip(*from) : (out.step > 0 ? low : high);
  const std::int64_t end = to ? clip(*to) : (out.step > 0 ? high : low);
  const std::int64_t length = out.step > 0 ? end - out.start : out.start - end;
  const std::int64_t stride = std::abs(out.step);
  out.count = length > 0 ? static_cast<std::size_t>((length - 1) / stride + 1) : 0;
  return out;
}

std::optional<std::size_t> position(std::int64_t index, std::size_t size) {
  if (index < 0) index += static_cast<std::int64_t>(size);
  if (index < 0 || static_cast<std::size_t>(index) >= size) return std::nullopt;
  return static_cast<std::size_t>(index);
}

std::optional<Value> indexed(const Value& value, std::int64_t index) {
  if (const MarkedText* text = value.marked()) {
    const std::vector<std::size_t> at = char_offsets(text->bytes());
    const auto i = position(index, at.size() - 1);
    return i ? std::optional<Value>(Value(text->part(at[*i], at[*i + 1] - at[*i]))) : std::nullopt;
  }
  const Sequence* items = value.sequence();
  if (items == nullptr || items->flavor > Flavor::range) return std::nullopt;
  const auto i = position(index, items->items.size());
  return i ? std::optional<Value>(items->items[*i]) : std::nullopt;
}

bool hashable(const Value& key) {
  if (const Sequence* items = key.sequence()) {
    return items->flavor == Flavor::tuple && std::all_of(items->items.begin(), items->items.end(), hashable);
  }
  return key.dict() == nullptr;
}

std::string missing(const Value& value, std::string_view name) {
  if (value.is_none()) return "'none' has no attribute '" + std::string(name) + "'";
  return "'" + value.type_name() + " object' has no attribute '" + std::string(name) + "'";
}

std::optional<Value> real_attribute(const Value& value, std::string_view name) {
  if (const Space* space = value.space()) {
    if (const auto it = space->attributes.find(std::string(name)); it != space->attributes.end()) return it->second;
    return space->computed ? space->computed(name) : std::nullopt;
  }
  if (const Function* function = value.function(); function != nullptr && name == "name") return Value(function->name);
  Value method = find_method(value, name);
  return method.is_undefined() && method.as<Undefined>()->hint == nullptr ? std::nullopt
                                                                          : std::optional<Value>(std::move(method));
}

}  // namespace

Value binary(Run& run, std::string_view op, const Value& a, const Value& b) {
  if (op == "%" && a.text() != nullptr) return Value(percent_format(run, *a.marked(), b));
  if (const auto x = a.integer(), y = b.integer(); x && y) return int_binary(op, *x, *y);
  if (const auto x = a.real(), y = b.real(); x && y) return real_binary(op, *x, *y);
  if (op == "*" && repeatable(a) && b.integer()) return repeated(run, a, *b.integer());
  if (op == "*" && repeatable(b) && a.integer()) return repeated(run, b, *a.integer());
  if (op == "+") return joined(run, a, b);
  fail_operands(op, a, b);
}

Value negated(const Value& value) {
  if (const auto number = value.integer()) return int_binary("-", 0, *number);
  if (const auto number = value.real()) return Value(-*number);
  fail(value.is_undefined() ? value.hint() : "bad operand type for unary -: '" + value.type_name() + "'");
}

Value unary_plus(const Value& value) {
  if (const auto number = value.integer()) return Value(*number);
  if (value.is_number()) return value;
  fail(value.is_undefined() ? value.hint() : "bad operand type for unary +: '" + value.type_name() + "'");
}

bool compared(Run& run, std::string_view op, const Value& a, const Value& b) {
  if (op == "in") return contains(run, b, a);
  if (op == "not in") return !contains(run, b, a);
  run.charge(std::min(a.extent().weight, b.extent().weight));
  if (op == "==") return equal(a, b);
  if (op == "!=") return !equal(a, b);
  if (op == "<") return less(a, b, op);
  if (op == ">") return less(b, a, op);
  const bool below = op == "<=" ? less(a, b, op) : less(b, a, op);
  return below || equal(a, b);
}

bool contains(Run& run, const Value& container, const Value& item) {
  run.charge(item.extent().weight);
  if (container.is_undefined()) return false;
  if (const std::string* text = container.text()) {
    if (item.is_undefined()) fail(item.hint());
    if (item.text() == nullptr) fail("'in <string>' requires string as left operand, not " + item.type_name());
    run.charge(container.extent().weight);
    return find_text(*text, *item.text()) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) return dict->find(item) != nullptr;
  if (container.sequence() == nullptr) fail("argument of type '" + container.type_name() + "' is not iterable");
  const std::vector<Value> items = iterate(run, container);
  run.charge(items.size() * item.extent().weight);
  return std::any_of(items.begin(), items.end(), [&](const Value& each) { return equal(each, item); });
}

Value attribute_of(const Value& value, std::string_view name) {
  if (value.is_undefined()) fail(value.hint());
  if (auto found = real_attribute(value, name)) return *std::move(found);
  if (const Dict* dict = value.dict()) {
    if (const Value* found = dict->find(name)) return *found;
  }
  return Value::undefined(missing(value, name));
}

Value item_of(const Value& value, const Value& index) {
  if (value.is_undefined()) fail(value.hint());
  if (const Dict* dict = value.dict(); dict != nullptr && hashable(index)) {
    if (const Value* found = dict->find(index)) return *found;
  }
  if (const auto at = index.integer()) {
    if (auto found = indexed(value, *at)) return *std::move(found);
    return Value::undefined(missing(value, std::to_string(*at)));
  }
  if (index.text() == nullptr) return Value::undefined("'" + value.type_name() + " object' has no such item");
  if (auto found = real_attribute(value, *index.text())) return *std::move(found);
  return Value::undefined(missing(value, *index.text()));
}

Value slice_of(Run& run, const Value& value, const Value& start, const Value& stop, const Value& step) {
  if (value.is_undefined()) fail(value.hint());
  if (value.text() != nullptr) run.charge(value.extent().weight);
  const Sequence* items = value.sequence();
  const bool sliceable = value.text() != nullptr || (items != nullptr && items->flavor <= Flavor::range);
  if (!sliceable) fail("'" + value.type_name() + "' object cannot be sliced");
  const std::vector<std::size_t> at = items == nullptr ? char_offsets(*value.text()) : std::vector<std::size_t>();
  const std::size_t size = items == nullptr ? at.size() - 1 : items->items.size();
  const Span span = span_of(static_cast<std::int64_t>(size), start, stop, step);
  MarkedText text;
  std::vector<Value> out;
  for (std::size_t k = 0; k < span.count; ++k) {
    const auto i = static_cast<std::size_t>(span.start + static_cast<std::int64_t>(k) * span.step);
    if (items == nullptr) {
      text.append(*value.marked(), at[i], at[i + 1] - at[i]);
    } else {
      out.push_back(items->items[i]);
    }
  }
  if (items == nullptr) text.markup = value.marked()->markup;
  return items == nullptr ? Value(std::move(text)) : make_sequence(std::move(out), items->flavor);
}

std::vector<Value> iterate(Run& run, const Value& value) {
  std::vector<Value> out;
  if (value.is_undefined()) return out;
  if (const Sequence* items = value.sequence()) {
    if (items->flavor == Flavor::iterator && std::exchange(items->spent, true)) return out;
    out = items->items;
  } else if (const Dict* dict = value.dict()) {
    for (const auto& entry : dict->entries()) out.push_back(entry.first);
  } else if (const MarkedText* text = value.marked()) {
    run.charge_bytes(text->size() * 96);  // each character becomes a value
    const std::vector<std::size_t> at = char_offsets(text->bytes());
    for (std::size_t i = 0; i + 1 < at.size(); ++i) out.emplace_back(text->part(at[i], at[i + 1] - at[i]));
  } else {
    fail("'" + value.type_name() + "' object is not iterable");
  }
  run.charge_bytes(out.size() * sizeof(Value));
  return out;
}

std::int64_t length_of(const Value& value) {
  if (value.is_undefined()) return 0;
  if (const std::string* text = value.text()) return static_cast<std::int64_t>(char_count(*text));
  if (const Dict* dict = value.dict()) return static_cast<std::int64_t>(dict->size());
  if (const Sequence* items = value.sequence(); items != nullptr && items->flavor != Flavor::iterator) {
    return static_cast<std::int64_t>(items->items.size());
  }
  fail("object of type '" + value.type_name() + "' has no len()");
}

Value make_dict(Dict dict) { return Value(std::shared_ptr<const Dict>(std::make_shared<Dict>(std::move(dict)))); }

}  // namespace frugal::jinja

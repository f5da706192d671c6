// Filters over sequences and dicts. What jinja2 returns as a generator is an iterator here too: true even when empty,
// without a length, and consumed by its first reader. Its items, though, are computed at once.
#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/builtins.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/print.hpp"
#include "text/jinja/run.hpp"
#include "text/jinja/str.hpp"

namespace frugal::jinja {
namespace {

/// "a.b.0" applied to a value step by step; `otherwise`, unless none, stands for what a step does not find.
Value dotted_attribute(const Value& value, const Value& path, const Value& otherwise = None{}) {
  const auto step = [&](const Value& from, const Value& part) {
    Value found = item_of(from, part);
    return found.is_undefined() && !otherwise.is_none() ? otherwise : found;
  };
  if (path.integer()) return step(value, path);
  const std::string& all = text_argument(path, "an attribute's name").bytes();
  Value at = value;
  for (std::size_t from = 0; from <= all.size();) {
    const std::size_t end = std::min(all.find('.', from), all.size());
    const std::string part = all.substr(from, end - from);
    const bool digits = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos && part.size() < 18;
    at = step(at, digits ? Value(static_cast<std::int64_t>(std::stoll(part))) : Value(part));
    from = end + 1;
  }
  return at;
}

/// The arguments from the i-th on.
Args arguments_from(const Args& args, std::size_t i) {
  Args out;
  const std::size_t from = std::min(i, args.positional.size());
  out.positional.assign(args.positional.begin() + static_cast<std::ptrdiff_t>(from), args.positional.end());
  out.named = args.named;
  return out;
}

Value iterator(std::vector<Value> items) { return make_sequence(std::move(items), Flavor::iterator); }

// The attribute that `path` names, or the value itself where there is none.
Value keyed(const Value& value, const Value* path) {
  return path == nullptr || path->is_none() ? value : dotted_attribute(value, *path);
}

Value folded(Value value, bool case_sensitive) {
  if (case_sensitive || value.text() == nullptr) return value;
  return Value(text::to_case(*value.text(), text::LetterCase::lower));
}

Value length(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "length", {});
  return Value(length_of(input));
}

Value list(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "list", {});
  return make_sequence(iterate(run, input));
}

Value first(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "first", {});
  const std::vector<Value> items = iterate(run, input);
  return items.empty() ? Value::undefined("no first item, the sequence is empty") : items.front();
}

Value last(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "last", {});
  if (input.sequence() != nullptr && input.sequence()->flavor == Flavor::iterator)
    fail("last: a generator cannot be reversed");
  const std::vector<Value> items = iterate(run, input);
  return items.empty() ? Value::undefined("no last item, the sequence is empty") : items.back();
}

Value join(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "join", {"d", "attribute"});
  const MarkedText separator = to_text(bound.get(0, Value("")));
  MarkedText out;
  bool begun = false;
  for (const Value& item : iterate(run, input)) {
    const MarkedText piece = to_text(keyed(item, bound[1]));
    run.charge_bytes(piece.size() + separator.size());
    if (std::exchange(begun, true)) out.append(separator);
    out.append(piece);
  }
  return Value(std::move(out));
}

Value otherwise(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "default", {"default_value", "boolean"});
  const bool falsy = truthy(bound.get(1, Value(false))) && !truthy(input);
  return input.is_undefined() || falsy ? bound.get(0, Value("")) : input;
}

Value reverse(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "reverse", {});
  std::vector<Value> items = iterate(run, input);
  std::reverse(items.begin(), items.end());
  if (input.text() != nullptr) {
    MarkedText out;
    for (const Value& item : items) out.append(*item.marked());
    return Value(std::move(out));
  }
  const bool consumed = input.sequence() != nullptr && input.sequence()->flavor == Flavor::iterator;
  return make_sequence(std::move(items), consumed ? Flavor::list : Flavor::iterator);
}

// "a,b" sorts by a, then b.
std::vector<Value> sort_keys(const Value& item, const Value* attribute, bool case_sensitive) {
  std::vector<Value> keys;
  if (attribute == nullptr || attribute->text() == nullptr) return {folded(keyed(item, attribute), case_sensitive)};
  const std::string& all = *attribute->text();
  for (std::size_t at = 0; at <= all.size();) {
    const std::size_t end = std::min(all.find(',', at), all.size());
    keys.push_back(folded(dotted_attribute(item, Value(all.substr(at, end - at))), case_sensitive));
    at = end + 1;
  }
  return keys;
}

bool keys_less(Run& run, const std::vector<Value>& a, const std::vector<Value>& b) {
  run.charge(a.size());
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    run.charge(std::min(a[i].extent().weight, b[i].extent().weight));
    if (!equal(a[i], b[i])) return less(a[i], b[i]);
  }
  return false;
}

std::vector<Value> sorted(Run& run, std::vector<std::pair<std::vector<Value>, Value>> rows, bool reversed) {
  std::stable_sort(rows.begin(), rows.end(), [&](const auto& a, const auto& b) {
    return reversed ? keys_less(run, b.first, a.first) : keys_less(run, a.first, b.first);
  });
  std::vector<Value> out;
  for (auto& row : rows) out.push_back(std::move(row.second));
  return out;
}

Value sort(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "sort", {"reverse", "case_sensitive", "attribute"});
  const bool case_sensitive = truthy(bound.get(1, Value(false)));
  std::vector<std::pair<std::vector<Value>, Value>> rows;
  for (const Value& item : iterate(run, input)) rows.emplace_back(sort_keys(item, bound[2], case_sensitive), item);
  return make_sequence(sorted(run, std::move(rows), truthy(bound.get(0, Value(false)))));
}

Value dictsort(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "dictsort", {"case_sensitive", "by", "reverse"});
  if (input.dict() == nullptr) fail("dictsort: not a mapping: " + input.type_name());
  const std::string by = text_argument(bound.get(1, Value("key")), "dictsort: by").bytes();
  if (by != "key" && by != "value") fail("dictsort: by must be key or value");
  const bool case_sensitive = truthy(bound.get(0, Value(false)));
  std::vector<std::pair<std::vector<Value>, Value>> rows;
  for (const auto& [key, value] : input.dict()->entries()) {
    rows.push_back({{folded(by == "key" ? key : value, case_sensitive)}, make_sequence({key, value}, Flavor::tuple)});
  }
  return make_sequence(sorted(run, std::move(rows), truthy(bound.get(2, Value(false)))));
}

Value unique(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "unique", {"case_sensitive", "attribute"});
  const bool case_sensitive = truthy(bound.get(0, Value(false)));
  std::set<Value, KeyLess> seen;
  std::vector<Value> out;
  for (const Value& item : iterate(run, input)) {
    run.charge(item.extent().weight);
    if (seen.insert(folded(keyed(item, bound[1]), case_sensitive)).second) out.push_back(item);
  }
  return iterator(std::move(out));
}

Value extreme(Run& run, const Value& input, const Args& args, bool largest) {
  const Bound bound(args, largest ? "max" : "min", {"case_sensitive", "attribute"});
  const bool case_sensitive = truthy(bound.get(0, Value(false)));
  const std::vector<Value> items = iterate(run, input);
  if (items.empty()) return Value::undefined("no aggregated item, the sequence is empty");
  const Value* best = &items.front();
  for (const Value& item : items) {
    run.charge(item.extent().weight);
    const Value a = folded(keyed(item, bound[1]), case_sensitive), b = folded(keyed(*best, bound[1]), case_sensitive);
    if (&item != best && (largest ? less(b, a, ">") : less(a, b))) best = &item;
  }
  return *best;
}

Value minimum(Run& run, const Value& input, const Args& args) { return extreme(run, input, args, false); }
Value maximum(Run& run, const Value& input, const Args& args) { return extreme(run, input, args, true); }

Value sum(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "sum", {"attribute", "start"});
  Value total = bound.get(1, Value(std::int64_t{0}));
  for (const Value& item : iterate(run, input)) total = run.made(binary(run, "+", total, keyed(item, bound[0])));
  return total;
}

Value map(Run& run, const Value& input, const Args& args) {
  std::vector<Value> out;
  if (!truthy(input)) return iterator({});
  if (args.positional.empty()) {
    const Bound bound(args, "map", {"", "attribute", "default"});
    for (const Value& item : iterate(run, input)) {
      out.push_back(dotted_attribute(item, bound.require(1), bound.get(2, Value(None{}))));
    }
    return iterator(std::move(out));
  }
  const std::string name = text_argument(args.positional[0], "map: the filter").bytes();
  const Named* filter = find_filter(name);
  if (filter == nullptr) fail_unknown("filter", name);
  const Args rest = arguments_from(args, 1);
  for (const Value& item : iterate(run, input)) {
    out.push_back(call_builtin(run, *filter, item, rest));
  }
  return iterator(std::move(out));
}

// select, reject, selectattr and rejectattr: keeps the items of which the test (or the truth) is `wanted`.
Value selected(Run& run, const Value& input, const Args& args, bool attribute, bool wanted) {
  if (!truthy(input)) return iterator({});
  if (attribute && args.positional.empty()) fail("selectattr: the attribute's name is missing");
  const std::size_t test_at = attribute ? 1 : 0;
  const Named* test = nullptr;
  if (args.positional.size() > test_at) {
    const std::string name = text_argument(args.positional[test_at], "select: the test").bytes();
    test = find_test(name);
    if (test == nullptr) fail_unknown("test", name);
  }
  const Args rest = arguments_from(args, test_at + 1);
  std::vector<Value> out;
  for (const Value& item : iterate(run, input)) {
    const Value subject = attribute ? dotted_attribute(item, args.positional[0]) : item;
    run.charge(1);
    if (truthy(test != nullptr ? call_builtin(run, *test, subject, rest) : subject) == wanted) out.push_back(item);
  }
  return iterator(std::move(out));
}

Value select(Run& run, const Value& input, const Args& args) { return selected(run, input, args, false, true); }
Value reject(Run& run, const Value& input, const Args& args) { return selected(run, input, args, false, false); }
Value selectattr(Run& run, const Value& input, const Args& args) { return selected(run, input, args, true, true); }
Value rejectattr(Run& run, const Value& input, const Args& args) { return selected(run, input, args, true, false); }

Value items(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "items", {});
  std::vector<Value> out;
  if (input.is_undefined()) return iterator({});
  if (input.dict() == nullptr) fail("items: can only get item pairs from a mapping, not " + input.type_name());
  for (const auto& [key, value] : input.dict()->entries()) out.push_back(make_sequence({key, value}, Flavor::tuple));
  return iterator(std::move(out));
}

constexpr Named kFilters[] = {{"length", length},
                              {"count", length},
                              {"list", list, Marks::kept},
                              {"first", first, Marks::kept},
                              {"last", last, Marks::kept},
                              {"join", join, Marks::kept},
                              {"default", otherwise, Marks::kept},
                              {"d", otherwise, Marks::kept},
                              {"reverse", reverse, Marks::kept},
                              {"sort", sort, Marks::kept},
                              {"dictsort", dictsort, Marks::kept},
                              {"unique", unique, Marks::kept},
                              {"min", minimum, Marks::kept},
                              {"max", maximum, Marks::kept},
                              {"sum", sum, Marks::kept},
                              {"map", map, Marks::kept},
                              {"select", select, Marks::kept},
                              {"reject", reject, Marks::kept},
                              {"items", items, Marks::kept},
                              {"selectattr", selectattr, Marks::kept},
                              {"rejectattr", rejectattr, Marks::kept}};

}  // namespace

const Named* find_sequence_filter(std::string_view name) noexcept { return find_in(kFilters, name); }

}  // namespace frugal::jinja

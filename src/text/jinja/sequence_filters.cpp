// Filters over sequences and dicts. What jinja2 returns as a generator is an iterator here too: true even when empty,
// without a length, and consumed by its first reader. Its items, though, are computed at once.
#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "text/jinja/builtins.hpp"
#include "text/jinja/filters.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/print.hpp"
#include "text/jinja/run.hpp"
#include "text/jinja/unicode.hpp"

namespace frugal::jinja {
namespace {

Value iterator(std::vector<Value> items) { return make_sequence(std::move(items), Flavor::iterator); }

// The attribute that `path` names, or the value itself where there is none.
Value keyed(const Value& value, const Value* path) {
  return path == nullptr || path->is_none() ? value : dotted_attribute(value, *path);
}

Value folded(Value value, bool case_sensitive) {
  if (case_sensitive || value.text() == nullptr) return value;
  return Value(to_case(*value.text(), Letter::lower));
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
  const std::string separator = to_text(bound.get(0, Value("")));
  std::string out;
  bool begun = false;
  for (const Value& item : iterate(run, input)) {
    const std::string piece = to_text(keyed(item, bound[1]));
    run.charge_bytes(piece.size() + separator.size());
    if (std::exchange(begun, true)) out += separator;
    out += piece;
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
    std::string out;
    for (const Value& item : items) out += *item.text();
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
  const std::string by = text_argument(bound.get(1, Value("key")), "dictsort: by");
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
  std::unordered_set<Value, ValueHash, ValueEqual> seen;
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
  const std::string name = text_argument(args.positional[0], "map: the filter");
  const Builtin filter = find_filter(name);
  if (filter == nullptr) fail("map: no filter named '" + name + "'");
  const Args rest = arguments_from(args, 1);
  for (const Value& item : iterate(run, input)) {
    run.charge(item.text() != nullptr ? 1 + item.extent().weight : 1);
    out.push_back(run.made(filter(run, item, rest)));
  }
  return iterator(std::move(out));
}

// select, reject, selectattr and rejectattr: keeps the items of which the test (or the truth) is `wanted`.
Value selected(Run& run, const Value& input, const Args& args, bool attribute, bool wanted) {
  if (!truthy(input)) return iterator({});
  if (attribute && args.positional.empty()) fail("selectattr: the attribute's name is missing");
  const std::size_t test_at = attribute ? 1 : 0;
  Builtin test = nullptr;
  if (args.positional.size() > test_at) {
    const std::string name = text_argument(args.positional[test_at], "select: the test");
    test = find_test(name);
    if (test == nullptr) fail("select: no test named '" + name + "'");
  }
  const Args rest = arguments_from(args, test_at + 1);
  std::vector<Value> out;
  for (const Value& item : iterate(run, input)) {
    const Value subject = attribute ? dotted_attribute(item, args.positional[0]) : item;
    run.charge(subject.text() != nullptr ? 1 + subject.extent().weight : 1);
    if (truthy(test != nullptr ? test(run, subject, rest) : subject) == wanted) out.push_back(item);
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

Value batch(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "batch", {"linecount", "fill_with"});
  const std::int64_t size = integer_argument(bound.require(0), "batch: linecount");
  const bool fills = bound[1] != nullptr && !bound[1]->is_none();
  std::vector<Value> out, row;
  for (const Value& item : iterate(run, input)) {
    if (static_cast<std::int64_t>(row.size()) == size) out.push_back(make_sequence(std::exchange(row, {})));
    row.push_back(item);
  }
  if (row.empty()) return iterator(std::move(out));
  while (fills && static_cast<std::int64_t>(row.size()) < size) {
    run.charge_bytes(sizeof(Value));
    row.push_back(*bound[1]);
  }
  out.push_back(make_sequence(std::move(row)));
  return iterator(std::move(out));
}

Value attr(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "attr", {"name"});
  const std::string name = to_text(bound.require(0));
  return input.dict() != nullptr ? find_method(input, name) : attribute_of(input, name);
}

constexpr Named kFilters[] = {{"length", length},
                              {"count", length},
                              {"list", list},
                              {"first", first},
                              {"last", last},
                              {"join", join},
                              {"default", otherwise},
                              {"d", otherwise},
                              {"reverse", reverse},
                              {"sort", sort},
                              {"dictsort", dictsort},
                              {"unique", unique},
                              {"min", minimum},
                              {"max", maximum},
                              {"sum", sum},
                              {"map", map},
                              {"select", select},
                              {"reject", reject},
                              {"items", items},
                              {"batch", batch},
                              {"selectattr", selectattr},
                              {"rejectattr", rejectattr},
                              {"attr", attr}};

}  // namespace

Builtin find_sequence_filter(std::string_view name) noexcept { return find_in(kFilters, name); }

Value dotted_attribute(const Value& value, const Value& path, const Value& otherwise) {
  const auto step = [&](const Value& from, const Value& part) {
    Value found = item_of(from, part);
    return found.is_undefined() && !otherwise.is_none() ? otherwise : found;
  };
  if (path.integer()) return step(value, path);
  const std::string all = text_argument(path, "an attribute's name");
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

}  // namespace frugal::jinja

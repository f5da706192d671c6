// The methods of str, list and dict that a template may call.
#include <algorithm>
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

template <bool Left, bool Right>
Value strip(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "strip", {"chars"});
  return strip_text(run, *self.marked(), bound[0], Left, Right);
}

Value pieces(Run& run, const MarkedText& text, const std::vector<std::string_view>& parts) {
  std::vector<Value> out;
  for (const std::string_view part : parts) {
    run.charge_bytes(part.size() + sizeof(MarkedText));
    out.emplace_back(text.part(part));
  }
  return make_sequence(std::move(out));
}

// At white space, at most `most` times.
std::vector<std::string_view> split_space(std::string_view text, std::int64_t most) {
  const auto is_space = [&](std::size_t at) { return text::is_python_space(text::decode_utf8(text, at).value); };
  std::vector<std::string_view> out;
  text = stripped(text, nullptr, true, false);
  for (; !text.empty() && most != 0; --most) {
    std::size_t end = 0;
    while (end < text.size() && !is_space(end)) end += char_bytes(text, end);
    out.push_back(text.substr(0, end));
    text = stripped(text.substr(end), nullptr, true, false);
  }
  if (!text.empty()) out.push_back(stripped(text, nullptr, false, true));
  return out;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator, std::int64_t most) {
  std::vector<std::string_view> out;
  std::size_t at = 0;
  for (; most != 0; --most) {
    const std::size_t found = find_text(text, separator, at);
    if (found == std::string_view::npos) break;
    out.push_back(text.substr(at, found - at));
    at = found + separator.size();
  }
  out.push_back(text.substr(at));
  return out;
}

Value split(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "split", {"sep", "maxsplit"});
  const std::int64_t most = integer_argument(bound.get(1, Value(std::int64_t{-1})), "split: maxsplit");
  const MarkedText& text = *self.marked();
  if (bound[0] == nullptr || bound[0]->is_none()) return pieces(run, text, split_space(text.bytes(), most));
  const std::string& separator = text_argument(*bound[0], "split: sep").bytes();
  if (separator.empty()) fail("split: empty separator");
  return pieces(run, text, split_at(text.bytes(), separator, most));
}

Value splitlines(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "splitlines", {"keepends"});
  if (bound[0] != nullptr) fail_lacking("splitlines that keeps the ends");
  return pieces(run, *self.marked(), split_lines(*self.text()));
}

template <bool Start>
Value affix(Run&, const Value& self, const Args& args) {
  constexpr const char* name = Start ? "startswith" : "endswith";
  const Bound bound(args, name, {"affix"});
  const auto matches = [&](const Value& value) {
    const std::string& part = text_argument(value, name).bytes();
    return Start ? self.text()->starts_with(part) : self.text()->ends_with(part);
  };
  const Sequence* several = bound.require(0).sequence();
  if (several == nullptr) return Value(matches(*bound[0]));
  if (several->flavor != Flavor::tuple) fail(std::string(name) + " takes a string or a tuple of strings");
  return Value(std::any_of(several->items.begin(), several->items.end(), matches));
}

Value find(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "find", {"sub"});
  const std::string& part = text_argument(bound.require(0), "find: sub").bytes();
  run.charge(part.size() / 64);
  const std::size_t at = find_text(*self.text(), part);
  if (at == std::string_view::npos) return Value(std::int64_t{-1});
  return Value(static_cast<std::int64_t>(char_count(std::string_view(*self.text()).substr(0, at))));
}

Value count(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "count", {"sub"});
  const std::string& part = text_argument(bound.require(0), "count: sub").bytes();
  run.charge(part.size() / 64);
  if (part.empty()) return Value(static_cast<std::int64_t>(char_count(*self.text())) + 1);
  return Value(static_cast<std::int64_t>(split_at(*self.text(), part, -1).size()) - 1);
}

/// A method that a filter without arguments also is.
template <const char* Filter>
Value as_filter(Run& run, const Value& self, const Args& args) {
  return find_text_filter(Filter)->builtin(run, self, args);
}
constexpr char upper[] = "upper", lower[] = "lower", capitalize[] = "capitalize";

Value replace(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "replace", {"old", "new", "count"});
  const std::int64_t most = integer_argument(bound.get(2, Value(std::int64_t{-1})), "replace: count");
  const MarkedText& text = *self.marked();
  const MarkedText &from = text_argument(bound.require(0), "replace: old"),
                   &to = text_argument(bound.require(1), "replace: new");
  MarkedText out = replace_text(run, text, from, text.markup ? escaped(to) : to, most);
  out.markup = text.markup;
  return Value(std::move(out));
}

Value join(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "join", {"iterable"});
  const MarkedText& separator = *self.marked();
  MarkedText out;
  bool begun = false;
  for (const Value& item : iterate(run, bound.require(0))) {
    const MarkedText& piece = text_argument(item, "join: an item");
    run.charge_bytes(piece.size() + separator.size());
    if (std::exchange(begun, true)) out.append(separator);
    out.append(separator.markup ? escaped(piece) : piece);
  }
  out.markup = separator.markup;
  return Value(std::move(out));
}

template <bool Start>
Value without_affix(Run&, const Value& self, const Args& args) {
  constexpr const char* name = Start ? "removeprefix" : "removesuffix";
  const Bound bound(args, name, {"affix"});
  const std::string& part = text_argument(bound.require(0), name).bytes();
  std::string_view text = *self.text();
  if (Start && text.starts_with(part)) text.remove_prefix(part.size());
  if (!Start && text.ends_with(part)) text.remove_suffix(part.size());
  return Value(self.marked()->part(text));
}

Value format(Run& run, const Value& self, const Args& args) { return Value(brace_format(run, *self.marked(), args)); }

constexpr Named kText[] = {{"strip", strip<true, true>, Marks::kept},
                           {"lstrip", strip<true, false>, Marks::kept},
                           {"rstrip", strip<false, true>, Marks::kept},
                           {"split", split, Marks::kept},
                           {"splitlines", splitlines, Marks::kept},
                           {"startswith", affix<true>},
                           {"endswith", affix<false>},
                           {"find", find},
                           {"count", count},
                           {"upper", as_filter<upper>},
                           {"lower", as_filter<lower>},
                           {"capitalize", as_filter<capitalize>},
                           {"replace", replace, Marks::kept},
                           {"join", join, Marks::kept},
                           {"format", format, Marks::kept},
                           {"removeprefix", without_affix<true>, Marks::kept},
                           {"removesuffix", without_affix<false>, Marks::kept}};

Value keys(Run& run, const Value& self, const Args&) { return make_sequence(iterate(run, self), Flavor::keys); }

Value values(Run&, const Value& self, const Args&) {
  std::vector<Value> out;
  for (const auto& entry : self.dict()->entries()) out.push_back(entry.second);
  return make_sequence(std::move(out), Flavor::values);
}

Value items(Run&, const Value& self, const Args&) {
  std::vector<Value> out;
  for (const auto& [key, value] : self.dict()->entries()) out.push_back(make_sequence({key, value}, Flavor::tuple));
  return make_sequence(std::move(out), Flavor::items);
}

Value get(Run&, const Value& self, const Args& args) {
  const Bound bound(args, "get", {"key", "default"});
  const Value* found = self.dict()->find(bound.require(0));
  return found != nullptr ? *found : bound.get(1, Value(None{}));
}

Value copy(Run&, const Value& self, const Args&) { return self; }

constexpr Named kDict[] = {{"items", items, Marks::kept},
                           {"keys", keys, Marks::kept},
                           {"values", values, Marks::kept},
                           {"get", get, Marks::kept},
                           {"copy", copy, Marks::kept}};

// Python has these, but they change what jinja2's immutable sandbox keeps unchangeable.
constexpr std::string_view kListChanges[] = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};

// Methods of Python's str and list that we do not have: named as such where a template calls one.
constexpr std::string_view kLacking[] = {
    "casefold",   "center",    "encode",   "expandtabs",   "format_map", "index",     "isalnum",     "isalpha",
    "isascii",    "isdecimal", "isdigit",  "isidentifier", "islower",    "isnumeric", "isprintable", "isspace",
    "istitle",    "isupper",   "ljust",    "maketrans",    "partition",  "rfind",     "rindex",      "rjust",
    "rpartition", "rsplit",    "swapcase", "title",        "translate",  "zfill"};

template <std::size_t N>
bool holds(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

Value function(std::string name, std::function<Value(Run&, const Args&)> call) {
  return Value(std::make_shared<const Function>(Function{std::move(name), std::move(call)}));
}

Value bound_method(const Named& method, const Value& self) {
  return function(std::string(method.name),
                  [&method, self](Run& run, const Args& args) { return call_builtin(run, method, self, args); });
}

}  // namespace

Value find_method(const Value& self, std::string_view name) {
  const bool items = self.sequence() != nullptr && self.sequence()->flavor <= Flavor::tuple;
  const bool list = self.sequence() != nullptr && self.sequence()->flavor == Flavor::list;
  const Named* method = nullptr;
  if (self.text() != nullptr) method = find_in(kText, name);
  if (self.dict() != nullptr) method = find_in(kDict, name);
  if (method != nullptr) return bound_method(*method, self);
  if ((list && holds(kListChanges, name)) || (self.dict() != nullptr && holds(kDictChanges, name)))
    return Value::undefined("'" + std::string(name) + "' would change a " + self.type_name() +
                            ", which a template may not");
  const bool lacking = self.text() != nullptr ? holds(kLacking, name) : items && (name == "count" || name == "index");
  if (!lacking) return {};
  return function(std::string(name),
                  [what = "the method '" + std::string(name) + "' of a " + self.type_name()](
                      Run&, const Args&) -> Value { fail_lacking(what); });
}

}  // namespace frugal::jinja

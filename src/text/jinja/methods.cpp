// The methods of str, list, tuple and dict that a sandboxed template may call.
#include <algorithm>
#include <string>
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

const std::string& self_text(const Value& self) { return *self.text(); }

template <bool Left, bool Right>
Value strip(Run&, const Value& self, const Args& args) {
  const Bound bound(args, "strip", {"chars"});
  if (bound[0] == nullptr || bound[0]->is_none()) return Value(stripped(self_text(self), nullptr, Left, Right));
  const std::string set = text_argument(*bound[0], "strip: chars");
  return Value(stripped(self_text(self), &set, Left, Right));
}

std::vector<std::string_view> split_space(std::string_view text, std::int64_t most) {
  std::vector<std::string_view> out;
  text = stripped(text, nullptr, true, false);
  while (!text.empty()) {
    if (most >= 0 && static_cast<std::int64_t>(out.size()) >= most) {
      out.push_back(stripped(text, nullptr, false, true));
      return out;
    }
    std::size_t end = 0;
    while (end < text.size() && !is_space(code_at(text, end))) end += char_bytes(text, end);
    out.push_back(text.substr(0, end));
    text = stripped(text.substr(end), nullptr, true, false);
  }
  return out;
}

std::vector<std::string_view> rsplit_space(std::string_view text, std::int64_t most) {
  std::vector<std::string_view> all = split_space(text, -1);
  if (most < 0 || static_cast<std::int64_t>(all.size()) <= most) return all;
  const std::size_t keep = all.size() - static_cast<std::size_t>(most);
  const char* start = all.front().data();
  const std::string_view& last = all[keep - 1];
  std::vector<std::string_view> out = {
      std::string_view(start, static_cast<std::size_t>(last.data() + last.size() - start))};
  if (most == 0) out = {stripped(text, nullptr, false, true)};
  if (most > 0)
    out[0] = std::string_view(text.data(), static_cast<std::size_t>(last.data() + last.size() - text.data()));
  out.insert(out.end(), all.begin() + static_cast<std::ptrdiff_t>(keep), all.end());
  return out;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator, std::int64_t most) {
  std::vector<std::string_view> out;
  std::size_t at = 0;
  for (; most != 0; --most) {
    const std::size_t found = text.find(separator, at);
    if (found == std::string_view::npos) break;
    out.push_back(text.substr(at, found - at));
    at = found + separator.size();
  }
  out.push_back(text.substr(at));
  return out;
}

std::vector<std::string_view> rsplit_at(std::string_view text, std::string_view separator, std::int64_t most) {
  std::vector<std::string_view> out;
  for (; most != 0 && text.size() >= separator.size(); --most) {
    const std::size_t found = text.rfind(separator);
    if (found == std::string_view::npos) break;
    out.push_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  out.push_back(text);
  std::reverse(out.begin(), out.end());
  return out;
}

Value pieces(Run& run, const std::vector<std::string_view>& parts, Flavor flavor = Flavor::list) {
  std::vector<Value> out;
  for (const std::string_view part : parts) {
    run.charge_bytes(part.size() + sizeof(std::string));
    out.emplace_back(part);
  }
  return make_sequence(std::move(out), flavor);
}

template <bool FromRight>
Value split(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "split", {"sep", "maxsplit"});
  const std::int64_t most = integer_argument(bound.get(1, Value(std::int64_t{-1})), "split: maxsplit");
  const std::string_view text = self_text(self);
  if (bound[0] == nullptr || bound[0]->is_none())
    return pieces(run, FromRight ? rsplit_space(text, most) : split_space(text, most));
  const std::string separator = text_argument(*bound[0], "split: sep");
  if (separator.empty()) fail("split: empty separator");
  return pieces(run, FromRight ? rsplit_at(text, separator, most) : split_at(text, separator, most));
}

template <bool FromRight>
Value partition(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "partition", {"sep"});
  const std::string separator = text_argument(bound.require(0), "partition: sep");
  if (separator.empty()) fail("partition: empty separator");
  const std::string_view text = self_text(self);
  const std::size_t at = FromRight ? text.rfind(separator) : text.find(separator);
  if (at == std::string_view::npos) {
    return FromRight ? pieces(run, {"", "", text}, Flavor::tuple) : pieces(run, {text, "", ""}, Flavor::tuple);
  }
  return pieces(run, {text.substr(0, at), separator, text.substr(at + separator.size())}, Flavor::tuple);
}

Value splitlines(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "splitlines", {"keepends"});
  const std::vector<std::string> lines = split_lines(self_text(self), truthy(bound.get(0, Value(false))));
  return pieces(run, {lines.begin(), lines.end()});
}

// The part of the text that the optional start and end arguments leave.
std::string_view window(const Value& self, const Bound& bound, std::size_t* skipped = nullptr) {
  const std::string_view text = self_text(self);
  const auto left_out = [&](std::size_t i) { return bound[i] == nullptr || bound[i]->is_none(); };
  if (skipped != nullptr) *skipped = 0;
  if (left_out(1) && left_out(2)) return text;
  const std::vector<std::size_t> at = char_offsets(text);
  const auto size = static_cast<std::int64_t>(at.size() - 1);
  const auto place = [&](std::size_t i, std::int64_t otherwise) {
    if (left_out(i)) return otherwise;
    const std::int64_t given = integer_argument(*bound[i], "start and end");
    return given < 0 ? std::max<std::int64_t>(given + size, 0) : given;
  };
  const std::int64_t from = place(1, 0), to = std::min(place(2, size), size);
  if (from > to) return {};
  if (skipped != nullptr) *skipped = static_cast<std::size_t>(from);
  return text.substr(at[static_cast<std::size_t>(from)],
                     at[static_cast<std::size_t>(to)] - at[static_cast<std::size_t>(from)]);
}

template <bool Start>
Value affix(Run&, const Value& self, const Args& args) {
  const Bound bound(args, Start ? "startswith" : "endswith", {"prefix", "start", "end"});
  const std::string_view text = window(self, bound);
  const auto matches = [&](const Value& value) {
    const std::string part = text_argument(value, "startswith and endswith: the argument");
    return Start ? text.starts_with(part) : text.ends_with(part);
  };
  const Sequence* several = bound.require(0).sequence();
  if (several == nullptr) return Value(matches(*bound[0]));
  if (several->flavor != Flavor::tuple) fail("startswith and endswith take a string or a tuple of strings");
  return Value(std::any_of(several->items.begin(), several->items.end(), matches));
}

template <bool FromRight, bool MustExist>
Value find(Run&, const Value& self, const Args& args) {
  const Bound bound(args, "find", {"sub", "start", "end"});
  std::size_t skipped = 0;
  const std::string_view text = window(self, bound, &skipped);
  const std::string part = text_argument(bound.require(0), "find: sub");
  const std::size_t at = FromRight ? text.rfind(part) : text.find(part);
  if (at == std::string_view::npos && MustExist) fail("substring not found");
  if (at == std::string_view::npos) return Value(std::int64_t{-1});
  return Value(static_cast<std::int64_t>(skipped + char_count(text.substr(0, at))));
}

Value count(Run&, const Value& self, const Args& args) {
  const Bound bound(args, "count", {"sub", "start", "end"});
  const std::string_view text = window(self, bound);
  const std::string part = text_argument(bound.require(0), "count: sub");
  if (part.empty()) return Value(static_cast<std::int64_t>(char_count(text)) + 1);
  return Value(static_cast<std::int64_t>(split_at(text, part, -1).size()) - 1);
}

Value upper(Run&, const Value& self, const Args&) { return Value(to_case(self_text(self), Letter::upper)); }
Value lower(Run&, const Value& self, const Args&) { return Value(to_case(self_text(self), Letter::lower)); }
Value title(Run&, const Value& self, const Args&) { return Value(titled(self_text(self))); }
Value capitalize(Run&, const Value& self, const Args&) { return Value(capitalized(self_text(self))); }

Value swapcase(Run&, const Value& self, const Args&) {
  std::string out;
  const std::string& text = self_text(self);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = char_bytes(text, at);
    append_cased(out, std::string_view(text).substr(at, size),
                 is_upper(code_at(text, at)) ? Letter::lower : Letter::upper);
    at += size;
  }
  return Value(std::move(out));
}

Value replace(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "replace", {"old", "new", "count"});
  const std::int64_t most = integer_argument(bound.get(2, Value(std::int64_t{-1})), "replace: count");
  const std::string from = text_argument(bound.require(0), "replace: old"),
                    to = text_argument(bound.require(1), "replace: new");
  return Value(replace_text(run, self_text(self), from, to, most));
}

Value join(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "join", {"iterable"});
  std::string out;
  bool begun = false;
  for (const Value& item : iterate(run, bound.require(0))) {
    const std::string piece = text_argument(item, "join: an item");
    run.charge_bytes(piece.size() + self_text(self).size());
    if (std::exchange(begun, true)) out += self_text(self);
    out += piece;
  }
  return Value(std::move(out));
}

template <bool (*Is)(std::uint32_t) noexcept>
Value all_are(Run&, const Value& self, const Args&) {
  const std::string& text = self_text(self);
  for (std::size_t at = 0; at < text.size(); at += char_bytes(text, at)) {
    if (!Is(code_at(text, at))) return Value(false);
  }
  return Value(!text.empty());
}
bool is_alnum(std::uint32_t code) noexcept { return is_alpha(code) || is_digit(code); }

Value isupper(Run& run, const Value& self, const Args& args) { return find_test("upper")(run, self, args); }
Value islower(Run& run, const Value& self, const Args& args) { return find_test("lower")(run, self, args); }

// Where the text stands in a wider field: 0 left, 1 right, 2 centred, 3 right behind its sign.
template <int Place>
Value padded(Run&, const Value& self, const Args& args) {
  const Bound bound(args, "a padding method", {"width", "fillchar"});
  const std::int64_t width = integer_argument(bound.require(0), "width");
  if (width > (1 << 20)) fail_limit("a field too wide");
  const std::string fill = Place == 3 ? "0" : text_argument(bound.get(1, Value(" ")), "fillchar");
  if (char_count(fill) != 1) fail("the fill character must be exactly one character long");
  const std::string& text = self_text(self);
  const std::int64_t pad = std::max<std::int64_t>(width - static_cast<std::int64_t>(char_count(text)), 0);
  const std::int64_t left = Place == 0 ? 0 : Place == 2 ? pad / 2 + (pad & width & 1) : pad;
  const bool sign = Place == 3 && (text.starts_with('-') || text.starts_with('+'));
  std::string out = sign ? text.substr(0, 1) : "";
  for (std::int64_t i = 0; i < left; ++i) out += fill;
  out += sign ? text.substr(1) : text;
  for (std::int64_t i = left; i < pad; ++i) out += fill;
  return Value(std::move(out));
}

template <bool Start>
Value without_affix(Run&, const Value& self, const Args& args) {
  const Bound bound(args, Start ? "removeprefix" : "removesuffix", {"affix"});
  const std::string part = text_argument(bound.require(0), "removeprefix and removesuffix: the argument");
  std::string_view text = self_text(self);
  if (Start && text.starts_with(part)) text.remove_prefix(part.size());
  if (!Start && text.ends_with(part)) text.remove_suffix(part.size());
  return Value(text);
}

Value format(Run& run, const Value& self, const Args& args) { return Value(brace_format(run, self_text(self), args)); }

constexpr Named kText[] = {{"strip", strip<true, true>},
                           {"lstrip", strip<true, false>},
                           {"rstrip", strip<false, true>},
                           {"split", split<false>},
                           {"rsplit", split<true>},
                           {"partition", partition<false>},
                           {"rpartition", partition<true>},
                           {"splitlines", splitlines},
                           {"startswith", affix<true>},
                           {"endswith", affix<false>},
                           {"find", find<false, false>},
                           {"rfind", find<true, false>},
                           {"index", find<false, true>},
                           {"rindex", find<true, true>},
                           {"count", count},
                           {"upper", upper},
                           {"lower", lower},
                           {"casefold", lower},
                           {"title", title},
                           {"capitalize", capitalize},
                           {"swapcase", swapcase},
                           {"replace", replace},
                           {"join", join},
                           {"format", format},
                           {"isdigit", all_are<is_digit>},
                           {"isdecimal", all_are<is_decimal>},
                           {"isalpha", all_are<is_alpha>},
                           {"isalnum", all_are<is_alnum>},
                           {"isspace", all_are<is_space>},
                           {"isupper", isupper},
                           {"islower", islower},
                           {"ljust", padded<0>},
                           {"rjust", padded<1>},
                           {"center", padded<2>},
                           {"zfill", padded<3>},
                           {"removeprefix", without_affix<true>},
                           {"removesuffix", without_affix<false>}};

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

constexpr Named kDict[] = {{"items", items}, {"keys", keys}, {"values", values}, {"get", get}, {"copy", copy}};

Value list_count(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "count", {"value"});
  run.charge(self.extent().weight);
  const auto& all = self.sequence()->items;
  return Value(static_cast<std::int64_t>(
      std::count_if(all.begin(), all.end(), [&](const Value& each) { return equal(each, bound.require(0)); })));
}

Value list_index(Run& run, const Value& self, const Args& args) {
  const Bound bound(args, "index", {"value"});
  run.charge(self.extent().weight);
  const auto& all = self.sequence()->items;
  const auto it =
      std::find_if(all.begin(), all.end(), [&](const Value& each) { return equal(each, bound.require(0)); });
  if (it == all.end()) fail("index: the value is not in the list");
  return Value(static_cast<std::int64_t>(it - all.begin()));
}

constexpr Named kList[] = {{"count", list_count}, {"index", list_index}, {"copy", copy}};

// Python has these, but they change what the sandbox keeps unchangeable.
constexpr std::string_view kListChanges[] = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};

template <std::size_t N>
Value refused(const std::string_view (&names)[N], std::string_view name, const Value& self) {
  if (std::find(std::begin(names), std::end(names), name) == std::end(names)) return {};
  return Value::undefined("'" + std::string(name) + "' would change a " + self.type_name() +
                          ", which a template may not");
}

Value bound_method(Builtin method, std::string_view name, const Value& self) {
  return Value(std::make_shared<const Function>(Function{std::string(name), [method, self](Run& run, const Args& args) {
                                                           run.charge(self.text() != nullptr ? 1 + self.extent().weight
                                                                                             : 1);
                                                           return method(run, self, args);
                                                         }}));
}

}  // namespace

Value find_method(const Value& self, std::string_view name) {
  const Sequence* items = self.sequence();
  const bool list = items != nullptr && items->flavor == Flavor::list;
  Builtin method = nullptr;
  if (self.text() != nullptr) method = find_in(kText, name);
  if (self.dict() != nullptr) method = find_in(kDict, name);
  if (items != nullptr && items->flavor <= Flavor::tuple && (list || name != "copy")) method = find_in(kList, name);
  if (method != nullptr) return bound_method(method, name, self);
  if (list) return refused(kListChanges, name, self);
  return self.dict() != nullptr ? refused(kDictChanges, name, self) : Value();
}

}  // namespace frugal::jinja

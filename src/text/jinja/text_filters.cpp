// Filters that make text of their input.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/builtins.hpp"
#include "text/jinja/json.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/print.hpp"
#include "text/jinja/run.hpp"
#include "text/jinja/str.hpp"

namespace frugal::jinja {
namespace {

// What these make of Markup is Markup again, as in jinja2.
Value like(const Value& input, std::string text) {
  MarkedText out(std::move(text));
  out.markup = input.marked() != nullptr && input.marked()->markup;
  return Value(std::move(out));
}

template <std::string (*Change)(std::string_view)>
Value changed(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "this filter", {});
  return like(input, Change(to_text(input).bytes()));
}

std::string upper(std::string_view text) { return text::to_case(text, text::LetterCase::upper); }
std::string lower(std::string_view text) { return text::to_case(text, text::LetterCase::lower); }

Value trim(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "trim", {"chars"});
  return strip_text(run, to_text(input), bound[0], true, true);
}

Value string(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "string", {});
  return input.text() != nullptr ? input : Value(to_text(input));
}

Value safe(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "safe", {});
  MarkedText out = to_text(input);
  out.markup = true;
  return Value(std::move(out));
}

Value escape(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "escape", {});
  return Value(escaped(to_text(input)));
}

Value replace(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "replace", {"old", "new", "count"});
  const bool all = bound[2] == nullptr || bound[2]->is_none();
  const std::int64_t count = all ? -1 : integer_argument(*bound[2], "replace: count");
  return Value(replace_text(run, to_text(input), to_text(bound.require(0)), to_text(bound.require(1)), count));
}

std::string margin(const Value& width, std::string_view what) {
  if (width.text() != nullptr) return *width.text();
  const std::int64_t n = integer_argument(width, what);
  if (n > 1000) fail_limit(std::string(what) + ": too wide");
  return std::string(static_cast<std::size_t>(std::max<std::int64_t>(n, 0)), ' ');
}

Value tojson(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = truthy(bound.get(0, Value(false)));
  style.sort_keys = truthy(bound.get(3, Value(false)));
  if (bound[1] != nullptr && !bound[1]->is_none()) {
    style.indent = margin(*bound[1], "tojson: indent");
    style.item_separator = ",";
  }
  if (bound[2] != nullptr && !bound[2]->is_none()) {
    const Sequence* pair = bound[2]->sequence();
    if (pair == nullptr || pair->items.size() != 2) fail("tojson: separators must be a pair");
    style.item_separator = text_argument(pair->items[0], "tojson: separators").bytes();
    style.key_separator = text_argument(pair->items[1], "tojson: separators").bytes();
  }
  return Value(to_json(input, style));
}

Value from_json(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "from_json", {});
  const MarkedText& text = text_argument(input, "from_json: the input");
  run.charge_bytes(text.size() * 32);
  return parse_json(text.bytes(), "the input of from_json");
}

// jinja2 adds a line end before it splits, so that a text that ends in one keeps it.
Value indent(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "indent", {"width", "first", "blank"});
  const std::string blanks = margin(bound.get(0, Value(std::int64_t{4})), "indent: width");
  const bool first = truthy(bound.get(1, Value(false))), blank = truthy(bound.get(2, Value(false)));
  MarkedText text;
  text.append(text_argument(input, "indent: the input"));
  text.append("\n");
  MarkedText out;
  if (first) out.append(blanks);
  bool begun = false;
  for (const std::string_view line : split_lines(text.bytes())) {
    run.charge_bytes(line.size() + blanks.size());
    if (begun) out.append("\n");
    if (begun && (blank || !line.empty())) out.append(blanks);
    out.append(text.part(line));
    begun = true;
  }
  out.markup = input.marked()->markup;
  return Value(std::move(out));
}

Value format(Run& run, const Value& input, const Args& args) {
  if (args.named.empty())
    return Value(percent_format(run, to_text(input), make_sequence(args.positional, Flavor::tuple)));
  if (!args.positional.empty()) fail("format: positional or named arguments, not both");
  Dict named;
  for (const auto& [name, value] : args.named) named.set(Value(name), value);
  return Value(percent_format(run, to_text(input), make_dict(std::move(named))));
}

Value whole(double number) {
  if (std::abs(number) >= 9.2e18) fail("the integer does not fit in 64 bits");
  return Value(static_cast<std::int64_t>(number));
}

template <class Number>
std::optional<Number> parsed(std::string_view text) {
  text = stripped(text, nullptr, true, true);
  if (text.starts_with('+')) text.remove_prefix(1);
  Number number{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool all = read.ec == std::errc() && read.ptr == text.data() + text.size();
  return all ? std::optional<Number>(number) : std::nullopt;
}

Value to_int(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "int", {"default", "base"});
  if (bound[1] != nullptr) fail_lacking("int with a base");
  if (input.is_undefined()) fail(input.hint());
  if (const auto number = input.integer()) return Value(*number);
  if (input.as<BigInt>() != nullptr) return input;
  std::optional<double> real = input.real();
  if (input.text() != nullptr) {
    if (const auto number = parsed<std::int64_t>(*input.text())) return Value(*number);
    real = parsed<double>(*input.text());
  }
  return real && std::isfinite(*real) ? whole(*real) : bound.get(0, Value(std::int64_t{0}));
}

Value to_float(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "float", {"default"});
  if (input.is_undefined()) fail(input.hint());
  if (const auto number = input.real()) return Value(*number);
  const auto number = input.text() != nullptr ? parsed<double>(*input.text()) : std::nullopt;
  return number ? Value(*number) : bound.get(0, Value(0.0));
}

Value absolute(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "abs", {});
  if (input.is_undefined()) fail(input.hint());
  if (const auto number = input.integer()) return *number < 0 ? negated(input) : Value(*number);
  if (const auto number = input.real()) return Value(std::abs(*number));
  fail("bad operand type for abs(): '" + input.type_name() + "'");
}

constexpr Named kFilters[] = {{"upper", changed<upper>},
                              {"lower", changed<lower>},
                              {"capitalize", changed<capitalized>},
                              {"title", changed<titled>},
                              {"trim", trim, Marks::kept},
                              {"string", string, Marks::kept},
                              {"safe", safe, Marks::kept},
                              {"escape", escape, Marks::kept},
                              {"e", escape, Marks::kept},
                              {"replace", replace, Marks::kept},
                              {"tojson", tojson},
                              {"from_json", from_json},
                              {"indent", indent, Marks::kept},
                              {"format", format, Marks::kept},
                              {"int", to_int},
                              {"float", to_float},
                              {"abs", absolute}};

}  // namespace

const Named* find_text_filter(std::string_view name) noexcept { return find_in(kFilters, name); }

Value strip_text(Run& run, const MarkedText& text, const Value* set, bool left, bool right) {
  if (set == nullptr || set->is_none()) return Value(text.part(stripped(text.bytes(), nullptr, left, right)));
  const std::string& chars = text_argument(*set, "strip: the characters").bytes();
  run.charge(text.size() * (1 + chars.size()) / 64);
  return Value(text.part(stripped(text.bytes(), &chars, left, right)));
}

MarkedText replace_text(Run& run, const MarkedText& text, const MarkedText& from, const MarkedText& to,
                        std::int64_t count) {
  MarkedText out;
  const std::string& bytes = text.bytes();
  const auto put = [&](const MarkedText& piece, std::size_t at, std::size_t n) {
    run.charge_bytes(std::min(n, piece.size()) + 1);
    out.append(piece, at, n);
  };
  run.charge((bytes.size() + from.size()) / 64);
  std::size_t at = 0;
  for (; count != 0 && at <= bytes.size(); --count) {
    if (from.size() == 0) {
      put(to, 0, to.size());
      if (at == bytes.size()) return out;
      const std::size_t size = char_bytes(bytes, at);
      put(text, at, size);
      at += size;
      continue;
    }
    const std::size_t found = find_text(bytes, from.bytes(), at);
    if (found == std::string::npos) break;
    put(text, at, found - at);
    put(to, 0, to.size());
    at = found + from.size();
  }
  if (at < bytes.size()) put(text, at, bytes.size() - at);
  return out;
}

const MarkedText& text_argument(const Value& value, std::string_view what) {
  if (value.is_undefined()) fail(value.hint());
  if (value.text() == nullptr) fail(std::string(what) + " must be a string, not " + value.type_name());
  return *value.marked();
}

std::int64_t integer_argument(const Value& value, std::string_view what) {
  if (value.is_undefined()) fail(value.hint());
  if (!value.integer()) fail(std::string(what) + " must be an integer, not " + value.type_name());
  return *value.integer();
}

}  // namespace frugal::jinja

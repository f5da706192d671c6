// Filters that make text of their input.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/filters.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/print.hpp"
#include "text/jinja/run.hpp"
#include "text/jinja/unicode.hpp"

namespace frugal::jinja {
namespace {

Value upper(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "upper", {});
  return Value(to_case(to_text(input), Letter::upper));
}

Value lower(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "lower", {});
  return Value(to_case(to_text(input), Letter::lower));
}

Value capitalize(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "capitalize", {});
  return Value(capitalized(to_text(input)));
}

// Unlike str.title: words begin after white space, a hyphen or an opening bracket only.
Value title(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "title", {});
  const std::string text = to_text(input);
  std::string out;
  bool start = true;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = char_bytes(text, at);
    append_cased(out, std::string_view(text).substr(at, size), start ? Letter::upper : Letter::lower);
    const std::uint32_t code = code_at(text, at);
    start = is_space(code) ||
            (code < 0x80 && std::string_view("-({[<").find(static_cast<char>(code)) != std::string_view::npos);
    at += size;
  }
  return Value(std::move(out));
}

Value trim(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "trim", {"chars"});
  const std::string text = to_text(input);
  if (bound[0] == nullptr || bound[0]->is_none()) return Value(stripped(text, nullptr, true, true));
  const std::string set = text_argument(*bound[0], "trim: chars");
  return Value(stripped(text, &set, true, true));
}

Value string(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "string", {});
  return Value(to_text(input));
}

Value replace(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "replace", {"old", "new", "count"});
  const bool all = bound[2] == nullptr || bound[2]->is_none();
  const std::int64_t count = all ? -1 : integer_argument(*bound[2], "replace: count");
  return Value(replace_text(run, to_text(input), to_text(bound.require(0)), to_text(bound.require(1)), count));
}

Value tojson(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = truthy(bound.get(0, Value(false)));
  style.sort_keys = truthy(bound.get(3, Value(false)));
  if (bound[1] != nullptr && !bound[1]->is_none()) {
    if (const std::string* text = bound[1]->text()) {
      style.indent = *text;
    } else {
      const std::int64_t width = integer_argument(*bound[1], "tojson: indent");
      if (width > 1000) fail_limit("tojson: indentation too wide");
      style.indent = std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
    }
    style.item_separator = ",";
  }
  if (bound[2] != nullptr && !bound[2]->is_none()) {
    const Sequence* pair = bound[2]->sequence();
    if (pair == nullptr || pair->items.size() != 2) fail("tojson: separators must be a pair");
    style.item_separator = text_argument(pair->items[0], "tojson: separators");
    style.key_separator = text_argument(pair->items[1], "tojson: separators");
  }
  return Value(to_json(input, style));
}

// jinja2 adds a line end before it splits, so that a text that ends in one keeps it.
Value indent(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "indent", {"width", "first", "blank"});
  const Value width = bound.get(0, Value(std::int64_t{4}));
  std::string margin;
  if (width.text() != nullptr) {
    margin = *width.text();
  } else {
    const std::int64_t n = integer_argument(width, "indent: width");
    if (n > 10000) fail_limit("indent: too wide");
    margin = std::string(static_cast<std::size_t>(std::max<std::int64_t>(n, 0)), ' ');
  }
  const bool first = truthy(bound.get(1, Value(false))), blank = truthy(bound.get(2, Value(false)));
  const std::vector<std::string> lines = split_lines(text_argument(input, "indent: the input") + "\n", false);
  std::string out = first ? margin : "";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    run.charge_bytes(lines[i].size() + margin.size());
    if (i > 0) out += "\n";
    if (i > 0 && (blank || !lines[i].empty())) out += margin;
    out += lines[i];
  }
  return Value(std::move(out));
}

Value escape(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "escape", {});
  std::string out;
  for (const char c : to_text(input)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  run.charge_bytes(out.size());
  return Value(std::move(out));
}

Value center(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "center", {"width"});
  const std::int64_t width = integer_argument(bound.get(0, Value(std::int64_t{80})), "center: width");
  if (width > (1 << 20)) fail_limit("center: too wide");
  const std::string text = to_text(input);
  const std::int64_t pad = width - static_cast<std::int64_t>(char_count(text));
  if (pad <= 0) return Value(text);
  const std::int64_t left = pad / 2 + (pad & width & 1);
  return Value(std::string(static_cast<std::size_t>(left), ' ') + text +
               std::string(static_cast<std::size_t>(pad - left), ' '));
}

Value format(Run&, const Value& input, const Args& args) {
  if (args.named.empty()) return Value(percent_format(to_text(input), make_sequence(args.positional, Flavor::tuple)));
  if (!args.positional.empty()) fail("format: positional or named arguments, not both");
  Dict named;
  for (const auto& [name, value] : args.named) named.set(Value(name), value);
  return Value(percent_format(to_text(input), make_dict(std::move(named))));
}

// Text that is already safe for HTML; nothing here escapes, so it is the text itself.
constexpr Named kFilters[] = {{"upper", upper},   {"lower", lower},   {"capitalize", capitalize}, {"title", title},
                              {"trim", trim},     {"string", string}, {"safe", string},           {"replace", replace},
                              {"tojson", tojson}, {"indent", indent}, {"escape", escape},         {"e", escape},
                              {"center", center}, {"format", format}};

}  // namespace

Builtin find_text_filter(std::string_view name) noexcept { return find_in(kFilters, name); }

std::string replace_text(Run& run, const std::string& text, const std::string& from, const std::string& to,
                         std::int64_t count) {
  std::string out;
  const auto put = [&](std::string_view piece) {
    run.charge_bytes(piece.size() + 1);
    out += piece;
  };
  std::size_t at = 0;
  for (; count != 0 && at <= text.size(); --count) {
    if (from.empty()) {
      put(to);
      if (at == text.size()) return out;
      const std::size_t size = char_bytes(text, at);
      put(std::string_view(text).substr(at, size));
      at += size;
      continue;
    }
    const std::size_t found = text.find(from, at);
    if (found == std::string::npos) break;
    put(std::string_view(text).substr(at, found - at));
    put(to);
    at = found + from.size();
  }
  put(std::string_view(text).substr(std::min(at, text.size())));
  return out;
}

std::string text_argument(const Value& value, std::string_view what) {
  if (value.is_undefined()) fail(value.hint());
  if (value.text() == nullptr) fail(std::string(what) + " must be a string, not " + value.type_name());
  return *value.text();
}

std::int64_t integer_argument(const Value& value, std::string_view what) {
  if (value.is_undefined()) fail(value.hint());
  if (!value.integer()) fail(std::string(what) + " must be an integer, not " + value.type_name());
  return *value.integer();
}

Args arguments_from(const Args& args, std::size_t i) {
  Args out;
  const std::size_t from = std::min(i, args.positional.size());
  out.positional.assign(args.positional.begin() + static_cast<std::ptrdiff_t>(from), args.positional.end());
  out.named = args.named;
  return out;
}

}  // namespace frugal::jinja

// Formatting as Python's % and str.format do it, and str.splitlines.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
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

constexpr std::int64_t kMaxWidth = 1000;

/// One conversion of either kind: [[fill]align][sign][#][0][width][,][.precision][type]
struct Spec {
  std::string fill = " ";
  char align = '\0', sign = '-', type = '\0', grouping = '\0';
  bool alternate = false, zero = false;
  std::int64_t width = 0, precision = -1;
};

std::int64_t read_number(std::string_view text, std::size_t& at) {
  std::int64_t out = 0;
  for (; at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0; ++at) {
    out = out * 10 + (text[at] - '0');
    if (out > kMaxWidth) fail_limit("a format width or precision beyond " + std::to_string(kMaxWidth));
  }
  return out;
}

std::string grouped(const std::string& digits, char separator) {
  if (separator == '\0') return digits;
  const std::size_t whole = std::min(digits.find_first_of(".e"), digits.size());
  std::string out;
  for (std::size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(whole);
}

std::string padded(const Spec& spec, std::string sign, std::string body, char otherwise) {
  const auto width = static_cast<std::int64_t>(char_count(sign) + char_count(body));
  const std::int64_t pad = std::max<std::int64_t>(spec.width - width, 0);
  const char align = spec.align != '\0' ? spec.align : spec.zero && otherwise == '>' ? '=' : otherwise;
  const std::string fill = spec.zero && spec.align == '\0' ? "0" : spec.fill;
  const auto filling = [&](std::int64_t n) {
    std::string out;
    for (std::int64_t i = 0; i < n; ++i) out += fill;
    return out;
  };
  if (align == '<') return sign + body + filling(pad);
  if (align == '^') return filling(pad / 2) + sign + body + filling(pad - pad / 2);
  if (align == '=') return sign + filling(pad) + body;
  return filling(pad) + sign + body;
}

std::string sign_text(const Spec& spec, bool negative) {
  if (negative) return "-";
  return spec.sign == '-' ? "" : std::string(1, spec.sign);
}

std::string in_base(std::uint64_t number, unsigned base, bool upper) {
  std::string out;
  do {
    const char* digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    out.insert(out.begin(), digits[number % base]);
    number /= base;
  } while (number != 0);
  return out;
}

std::string format_integer(const Spec& spec, std::int64_t number) {
  const bool negative = number < 0;
  const std::uint64_t size = negative ? ~static_cast<std::uint64_t>(number) + 1 : static_cast<std::uint64_t>(number);
  const unsigned base = spec.type == 'x' || spec.type == 'X' ? 16 : spec.type == 'o' ? 8 : spec.type == 'b' ? 2 : 10;
  std::string body = in_base(size, base, spec.type == 'X');
  while (static_cast<std::int64_t>(body.size()) < spec.precision) body.insert(0, "0");
  std::string sign = sign_text(spec, negative);
  if (spec.alternate && base != 10) sign += std::string("0") + spec.type;
  return padded(spec, std::move(sign), grouped(body, spec.grouping), '>');
}

std::string format_real(const Spec& spec, double number) {
  const char type = spec.type == '\0' ? 'g' : spec.type == '%' ? 'f' : spec.type;
  const bool negative = std::signbit(number) && !std::isnan(number);
  const double size = std::abs(number) * (spec.type == '%' ? 100 : 1);
  std::string body;
  if (spec.type == '\0' && spec.precision < 0) {
    body = real_repr(size);
  } else {
    const char pattern[] = {'%', '.', '*', type, '\0'};
    char buffer[2048];
    const int used =
        std::snprintf(buffer, sizeof buffer, pattern, static_cast<int>(spec.precision < 0 ? 6 : spec.precision), size);
    body.assign(buffer, static_cast<std::size_t>(std::min<int>(used, sizeof buffer - 1)));
    std::replace(body.begin(), body.end(), ',', '.');  // a host's locale may write a comma
  }
  if (spec.type == '%') body += '%';
  return padded(spec, sign_text(spec, negative), grouped(body, spec.grouping), '>');
}

std::string format_text(const Spec& spec, std::string text) {
  if (spec.precision >= 0) {
    const std::vector<std::size_t> at = char_offsets(text);
    if (static_cast<std::size_t>(spec.precision) < at.size() - 1)
      text.resize(at[static_cast<std::size_t>(spec.precision)]);
  }
  return padded(spec, "", std::move(text), '<');
}

bool one_of(char c, std::string_view set) { return c != '\0' && set.find(c) != std::string_view::npos; }

// --- text % values ---

class Percent {
 public:
  Percent(const std::string& format, const Value& values) : format_(format), values_(values) {
    const Sequence* items = values.sequence();
    if (items != nullptr && items->flavor == Flavor::tuple) tuple_ = items;
  }

  std::string run() {
    std::string out;
    while (at_ < format_.size()) {
      if (format_[at_] != '%') {
        out += format_[at_++];
      } else {
        ++at_;
        out += conversion();
      }
    }
    const std::size_t given = tuple_ != nullptr ? tuple_->items.size() : 1;
    if (!mapped_ && used_ < given && values_.dict() == nullptr)
      fail("not all arguments converted during string formatting");
    return out;
  }

 private:
  char peek() const { return at_ < format_.size() ? format_[at_] : '\0'; }

  std::string conversion() {
    const Value* keyed = nullptr;
    if (peek() == '(') keyed = &by_key();
    Spec spec;
    bool left = false;
    for (; one_of(peek(), "-+ #0"); ++at_) {
      left |= peek() == '-';
      if (peek() == '+' || (peek() == ' ' && spec.sign == '-')) spec.sign = peek();
      spec.zero |= peek() == '0';
      spec.alternate |= peek() == '#';
    }
    spec.width = read_number(format_, at_);
    if (peek() == '.') {
      ++at_;
      spec.precision = read_number(format_, at_);
    }
    while (one_of(peek(), "hlL")) ++at_;
    if (at_ >= format_.size()) fail("incomplete format");
    spec.type = format_[at_++];
    spec.align = left ? '<' : '\0';
    if (spec.type == '%') return "%";
    return converted(spec, keyed != nullptr ? *keyed : next());
  }

  const Value& by_key() {
    const std::size_t end = format_.find(')', at_);
    if (end == std::string::npos) fail("incomplete format key");
    const std::string key = format_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    mapped_ = true;
    if (values_.dict() == nullptr) fail("format requires a mapping");
    const Value* found = values_.dict()->find(std::string_view(key));
    if (found == nullptr) fail("format: no key '" + key + "'");
    return *found;
  }

  const Value& next() {
    const std::size_t given = tuple_ != nullptr ? tuple_->items.size() : 1;
    if (used_ >= given) fail("not enough arguments for format string");
    return tuple_ != nullptr ? tuple_->items[used_++] : (++used_, values_);
  }

  static std::string right(Spec spec, std::string text) {
    if (spec.align == '\0') spec.align = '>';
    spec.zero = false;
    return format_text(spec, std::move(text));
  }

  static std::string converted(Spec spec, const Value& value) {
    if (spec.type == 's') return right(spec, to_text(value));
    if (spec.type == 'r' || spec.type == 'a') return right(spec, to_repr(value));
    if (value.is_undefined()) fail(value.hint());
    if (spec.type == 'c' && value.text() != nullptr && char_count(*value.text()) == 1)
      return right(spec, *value.text());
    if (one_of(spec.type, "diu") || one_of(spec.type, "oxX")) {
      const auto real = value.real();
      const bool whole = value.integer().has_value() || (one_of(spec.type, "diu") && real && std::abs(*real) < 9.2e18);
      if (!whole) fail(std::string("%") + spec.type + " format: a number is required, not " + value.type_name());
      return format_integer(spec, value.integer() ? *value.integer() : static_cast<std::int64_t>(*real));
    }
    if (!one_of(spec.type, "eEfFgG")) fail(std::string("unsupported format character '") + spec.type + "'");
    if (!value.real()) fail("must be real number, not " + value.type_name());
    return format_real(spec, *value.real());
  }

  const std::string& format_;
  const Value& values_;
  const Sequence* tuple_ = nullptr;
  std::size_t at_ = 0, used_ = 0;
  bool mapped_ = false;
};

// --- "{}".format(...) ---

Spec parse_spec(std::string_view text) {
  Spec spec;
  std::size_t at = 0;
  const auto peek = [&](std::size_t ahead = 0) { return at + ahead < text.size() ? text[at + ahead] : '\0'; };
  const std::size_t first = text.empty() ? 0 : char_bytes(text, 0);
  if (first > 0 && first < text.size() && one_of(text[first], "<>=^")) {
    spec.fill = std::string(text.substr(0, first));
    at = first;
  }
  if (one_of(peek(), "<>=^")) spec.align = text[at++];
  if (one_of(peek(), "+- ")) spec.sign = text[at++];
  if (peek() == '#') ++at, spec.alternate = true;
  if (peek() == '0') ++at, spec.zero = true;
  spec.width = read_number(text, at);
  if (one_of(peek(), ",_")) spec.grouping = text[at++];
  if (peek() == '.') {
    if (std::isdigit(static_cast<unsigned char>(peek(1))) == 0) fail("format specifier missing precision");
    spec.precision = read_number(text, ++at);
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) fail("invalid format specifier '" + std::string(text) + "'");
  return spec;
}

std::string formatted(const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return to_text(value);
  const Spec spec = parse_spec(spec_text);
  if (value.text() != nullptr && (spec.type == '\0' || spec.type == 's')) return format_text(spec, *value.text());
  if (value.integer() && (spec.type == '\0' || one_of(spec.type, "dxXob"))) {
    if (spec.precision >= 0) fail("precision not allowed in integer format specifier");
    return format_integer(spec, *value.integer());
  }
  if (value.real() && (spec.type == '\0' || one_of(spec.type, "eEfFgG%"))) return format_real(spec, *value.real());
  fail("format specifier '" + std::string(spec_text) + "' does not fit a value of type " + value.type_name());
}

class Brace {
 public:
  Brace(Run& run, const std::string& format, const Args& args) : run_(run), format_(format), args_(args) {}

  std::string run() {
    std::string out;
    for (std::size_t at = 0; at < format_.size(); ++at) {
      const char c = format_[at];
      if ((c == '{' || c == '}') && at + 1 < format_.size() && format_[at + 1] == c) {
        out += c;
        ++at;
      } else if (c == '{') {
        const std::size_t end = format_.find('}', at);
        if (end == std::string::npos) fail("expected '}' before end of string");
        const std::string piece = field(std::string_view(format_).substr(at + 1, end - at - 1));
        run_.charge_bytes(piece.size());
        out += piece;
        at = end;
      } else if (c == '}') {
        fail("single '}' encountered in format string");
      } else {
        out += c;
      }
    }
    return out;
  }

 private:
  std::string field(std::string_view text) {
    if (text.find('{') != std::string_view::npos) fail("nested fields in format are not supported");
    const std::size_t colon = std::min(text.find(':'), text.size());
    std::string_view name = text.substr(0, colon);
    const std::string_view spec = colon < text.size() ? text.substr(colon + 1) : std::string_view();
    const std::size_t mark = name.find('!');
    const char conversion = mark == std::string_view::npos ? '\0' : mark + 2 == name.size() ? name[mark + 1] : '?';
    const Value value = lookup(name.substr(0, mark));
    if (conversion == 'r') return formatted(Value(to_repr(value)), spec);
    if (conversion != '\0' && conversion != 's') fail("unknown conversion in format string");
    return formatted(conversion == 's' ? Value(to_text(value)) : value, spec);
  }

  Value lookup(std::string_view path) {
    std::size_t at = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, at));
    while (at < path.size()) {
      const bool item = path[at] == '[';
      const std::size_t end = std::min(item ? path.find(']', at) : path.find_first_of(".[", at + 1), path.size());
      const std::string key(path.substr(at + 1, end - at - 1));
      const bool digits =
          item && !key.empty() && key.size() < 18 && key.find_first_not_of("0123456789") == std::string::npos;
      if (item && end == path.size()) fail("expected ']' in format string");
      value = item ? item_of(value, digits ? Value(static_cast<std::int64_t>(std::stoll(key))) : Value(key))
                   : attribute_of(value, key);
      at = item ? end + 1 : end;
    }
    return value;
  }

  Value argument(std::string_view name) {
    std::size_t digits = 0;
    const auto number = static_cast<std::size_t>(read_number(name, digits));
    if (digits == name.size()) {
      if (!name.empty()) numbered_ = true;
      const std::size_t i = name.empty() ? next_++ : number;
      if (numbered_ && next_ > 0) fail("cannot mix {} and {0} in one format string");
      if (i >= args_.positional.size())
        fail("replacement index " + std::to_string(i) + " out of range for positional arguments");
      return args_.positional[i];
    }
    for (const auto& [each, value] : args_.named) {
      if (each == name) return value;
    }
    fail("format: no argument named '" + std::string(name) + "'");
  }

  Run& run_;
  const std::string& format_;
  const Args& args_;
  std::size_t next_ = 0;  ///< of the fields without a number
  bool numbered_ = false;
};

bool ends_line(std::uint32_t code) noexcept {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

}  // namespace

std::string percent_format(const std::string& format, const Value& values) { return Percent(format, values).run(); }

std::string brace_format(Run& run, const std::string& format, const Args& args) {
  return Brace(run, format, args).run();
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> lines;
  std::size_t begun = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = char_bytes(text, at);
    if (!ends_line(code_at(text, at))) {
      at += size;
      continue;
    }
    const std::size_t after = text.compare(at, 2, "\r\n") == 0 ? at + 2 : at + size;
    lines.emplace_back(text.substr(begun, (keep_ends ? after : at) - begun));
    begun = at = after;
  }
  if (begun < text.size()) lines.emplace_back(text.substr(begun));
  return lines;
}

}  // namespace frugal::jinja

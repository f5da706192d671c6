// Filters that make numbers of their input.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "text/jinja/filters.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/run.hpp"
#include "text/jinja/unicode.hpp"

namespace frugal::jinja {
namespace {

// The text without white space around it and with underscores only between digits taken out; empty where misplaced.
std::string clean_digits(std::string_view text) {
  text = stripped(text, nullptr, true, true);
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || std::isalnum(static_cast<unsigned char>(text[i - 1])) == 0 ||
               std::isalnum(static_cast<unsigned char>(text[i + 1])) == 0) {
      return {};
    }
  }
  return out;
}

Value truncated(double number) {
  if (std::isnan(number) || std::isinf(number)) fail("cannot convert this float to an integer");
  if (std::abs(number) >= 9.2e18) fail("the integer does not fit in 64 bits");
  return Value(static_cast<std::int64_t>(number));
}

Value to_int(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "int", {"default", "base"});
  const Value otherwise = bound.get(0, Value(std::int64_t{0}));
  const std::int64_t base = integer_argument(bound.get(1, Value(std::int64_t{10})), "int: base");
  if (input.is_undefined()) fail(input.hint());
  if (const auto number = input.integer()) return Value(*number);
  if (input.as<BigInt>() != nullptr) return input;
  if (const auto number = input.real()) return std::isfinite(*number) ? truncated(*number) : otherwise;
  if (input.text() == nullptr) return otherwise;
  if (base == 0 || (base >= 2 && base <= 36)) {
    if (auto number = parse_integer(*input.text(), static_cast<int>(base))) return *number;
  }
  const auto real = parse_real(*input.text());
  return real && std::isfinite(*real) ? truncated(*real) : otherwise;
}

Value to_float(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "float", {"default"});
  if (input.is_undefined()) fail(input.hint());
  if (const auto number = input.real()) return Value(*number);
  const auto number = input.text() != nullptr ? parse_real(*input.text()) : std::nullopt;
  return number ? Value(*number) : bound.get(0, Value(0.0));
}

Value absolute(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "abs", {});
  if (input.is_undefined()) fail(input.hint());
  if (const auto number = input.integer()) return *number < 0 ? negated(input) : Value(*number);
  if (const auto number = input.real()) return Value(std::abs(*number));
  fail("bad operand type for abs(): '" + input.type_name() + "'");
}

// Half to even, on the decimal digits of the double, as Python's round does.
double rounded(double number, std::int64_t precision) {
  if (!std::isfinite(number) || precision > 300) return number;
  if (precision < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-precision));
    return std::nearbyint(number / scale) * scale;
  }
  char buffer[800];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::fixed, static_cast<int>(precision)).ptr;
  double out = number;
  std::from_chars(buffer, end, out);
  return out;
}

Value round(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "round", {"precision", "method"});
  const std::int64_t precision = integer_argument(bound.get(0, Value(std::int64_t{0})), "round: precision");
  const std::string method = text_argument(bound.get(1, Value("common")), "round: method");
  if (method != "common" && method != "ceil" && method != "floor") fail("round: method must be common, ceil or floor");
  const auto number = input.real();
  if (!number) fail(input.is_undefined() ? input.hint() : "round: not a number: " + input.type_name());
  if (method == "common")
    return input.integer() && precision >= 0 ? Value(*input.integer()) : Value(rounded(*number, precision));
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = *number * scale;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

constexpr Named kFilters[] = {{"int", to_int}, {"float", to_float}, {"abs", absolute}, {"round", round}};

}  // namespace

Builtin find_number_filter(std::string_view name) noexcept { return find_in(kFilters, name); }

std::optional<Value> parse_integer(std::string_view text, int base) {
  std::string digits = clean_digits(text);
  const bool negative = digits.starts_with("-");
  if (negative || digits.starts_with("+")) digits.erase(0, 1);
  if (digits.size() > 2 && digits[0] == '0') {
    const char mark = static_cast<char>(std::tolower(static_cast<unsigned char>(digits[1])));
    const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (marked != 0 && (base == marked || base == 0)) digits.erase(0, 2), base = marked;
  }
  std::int64_t number = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number, base == 0 ? 10 : base);
  if (digits.empty() || digits[0] == '-' || read.ptr != digits.data() + digits.size()) return std::nullopt;
  if (read.ec != std::errc()) fail("the integer does not fit in 64 bits");
  return Value(negative ? -number : number);
}

std::optional<double> parse_real(std::string_view text) {
  std::string digits = clean_digits(text);
  const bool negative = digits.starts_with("-");
  if (negative || digits.starts_with("+")) digits.erase(0, 1);
  double number = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || digits[0] == '-' || digits.find('(') != std::string::npos) return std::nullopt;
  if (read.ptr != digits.data() + digits.size()) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) number = digits.find("e-") != std::string::npos ? 0 : HUGE_VAL;
  return negative ? -number : number;
}

}  // namespace frugal::jinja

// The tests behind `is`, and the look-up of filters and tests by name.
#include <algorithm>
#include <string>

#include "text/jinja/builtins.hpp"
#include "text/jinja/filters.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/print.hpp"
#include "text/jinja/run.hpp"
#include "text/jinja/unicode.hpp"

namespace frugal::jinja {
namespace {

using Predicate = bool (*)(const Value&);

template <Predicate P>
Value plain(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "a test", {});
  return Value(P(input));
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_string(const Value& v) { return v.text() != nullptr; }
bool is_mapping(const Value& v) { return v.dict() != nullptr; }
bool is_number(const Value& v) { return v.is_number(); }
bool is_boolean(const Value& v) { return v.as<bool>() != nullptr; }
bool is_true(const Value& v) { return is_boolean(v) && truthy(v); }
bool is_false(const Value& v) { return is_boolean(v) && !truthy(v); }
bool is_integer(const Value& v) { return v.as<std::int64_t>() != nullptr || v.as<BigInt>() != nullptr; }
bool is_float(const Value& v) { return v.as<double>() != nullptr; }
bool is_callable(const Value& v) { return v.function() != nullptr || v.is_undefined(); }
bool never(const Value&) { return false; }

bool is_iterable(const Value& v) {
  return v.is_undefined() || v.text() != nullptr || v.sequence() != nullptr || v.dict() != nullptr ||
         (v.space() != nullptr && v.space()->type == "LoopContext");
}

bool is_sequence(const Value& v) {
  if (const Sequence* items = v.sequence()) return items->flavor <= Flavor::range;
  return v.is_undefined() || v.text() != nullptr || v.dict() != nullptr;
}

// str.isupper and str.islower of str(value): at least one cased letter, and none of the other case.
bool all_of_case(const Value& value, bool (*wanted)(std::uint32_t) noexcept) {
  const std::string text = to_text(value);
  bool any = false;
  for (std::size_t at = 0; at < text.size(); at += char_bytes(text, at)) {
    const std::uint32_t code = code_at(text, at);
    if (!is_cased(code)) continue;
    if (!wanted(code)) return false;
    any = true;
  }
  return any;
}

template <bool (*Wanted)(std::uint32_t) noexcept>
Value letter_case(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "upper and lower", {});
  run.charge(input.extent().weight);
  return Value(all_of_case(input, Wanted));
}

std::int64_t remainder(Run& run, const Value& input, const Value& divisor) {
  const Value rest = binary(run, "%", input, divisor);
  if (const auto number = rest.real()) return *number == 0 ? 0 : *number == 1 ? 1 : 2;
  fail("not a number: " + input.type_name());
}

Value odd(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "odd", {});
  return Value(remainder(run, input, Value(std::int64_t{2})) == 1);
}

Value even(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "even", {});
  return Value(remainder(run, input, Value(std::int64_t{2})) == 0);
}

Value divisible(Run& run, const Value& input, const Args& args) {
  const Bound bound(args, "divisibleby", {"num"});
  return Value(remainder(run, input, bound.require(0)) == 0);
}

enum class Op { eq, ne, lt, le, gt, ge, in };

template <Op O>
Value relation(Run& run, const Value& input, const Args& args) {
  static constexpr const char* kOps[] = {"==", "!=", "<", "<=", ">", ">=", "in"};
  const Bound bound(args, kOps[static_cast<int>(O)], {"other"});
  return Value(compared(run, kOps[static_cast<int>(O)], input, bound.require(0)));
}

Value sameas(Run&, const Value& input, const Args& args) {
  const Bound bound(args, "sameas", {"other"});
  return Value(same(input, bound.require(0)));
}

Value filter_exists(Run&, const Value& input, const Args&) {
  return Value(input.text() != nullptr && find_filter(*input.text()) != nullptr);
}

Value test_exists(Run&, const Value& input, const Args&) {
  return Value(input.text() != nullptr && find_test(*input.text()) != nullptr);
}

constexpr Named kTests[] = {{"defined", plain<is_defined>},
                            {"undefined", plain<is_undefined>},
                            {"none", plain<is_none>},
                            {"string", plain<is_string>},
                            {"mapping", plain<is_mapping>},
                            {"number", plain<is_number>},
                            {"boolean", plain<is_boolean>},
                            {"true", plain<is_true>},
                            {"false", plain<is_false>},
                            {"integer", plain<is_integer>},
                            {"float", plain<is_float>},
                            {"callable", plain<is_callable>},
                            {"escaped", plain<never>},
                            {"iterable", plain<is_iterable>},
                            {"sequence", plain<is_sequence>},
                            {"upper", letter_case<is_upper>},
                            {"lower", letter_case<is_lower>},
                            {"odd", odd},
                            {"even", even},
                            {"divisibleby", divisible},
                            {"sameas", sameas},
                            {"filter", filter_exists},
                            {"test", test_exists},
                            {"in", relation<Op::in>},
                            {"==", relation<Op::eq>},
                            {"eq", relation<Op::eq>},
                            {"equalto", relation<Op::eq>},
                            {"!=", relation<Op::ne>},
                            {"ne", relation<Op::ne>},
                            {"<", relation<Op::lt>},
                            {"lt", relation<Op::lt>},
                            {"lessthan", relation<Op::lt>},
                            {"<=", relation<Op::le>},
                            {"le", relation<Op::le>},
                            {">", relation<Op::gt>},
                            {"gt", relation<Op::gt>},
                            {"greaterthan", relation<Op::gt>},
                            {">=", relation<Op::ge>},
                            {"ge", relation<Op::ge>}};

constexpr std::string_view kElsewhere[] = {"filesizeformat", "forceescape", "groupby",  "pprint",    "random",
                                           "slice",          "striptags",   "truncate", "urlencode", "urlize",
                                           "wordcount",      "wordwrap",    "xmlattr"};

}  // namespace

Builtin find_filter(std::string_view name) noexcept {
  if (const Builtin found = find_text_filter(name)) return found;
  if (const Builtin found = find_sequence_filter(name)) return found;
  return find_number_filter(name);
}

Builtin find_test(std::string_view name) noexcept { return find_in(kTests, name); }

bool known_elsewhere(std::string_view name) noexcept {
  return std::find(std::begin(kElsewhere), std::end(kElsewhere), name) != std::end(kElsewhere);
}

}  // namespace frugal::jinja

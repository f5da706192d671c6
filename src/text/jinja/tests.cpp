// The tests that `is` asks, and the look-up and call of filters and tests by name.
#include <algorithm>
#include <string>

#include "text/jinja/builtins.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/run.hpp"

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

bool is_iterable(const Value& v) {
  return v.is_undefined() || v.text() != nullptr || v.sequence() != nullptr || v.dict() != nullptr ||
         (v.space() != nullptr && v.space()->type == "LoopContext");
}

bool is_sequence(const Value& v) {
  if (const Sequence* items = v.sequence()) return items->flavor <= Flavor::range;
  return v.is_undefined() || v.text() != nullptr || v.dict() != nullptr;
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
                            {"iterable", plain<is_iterable>},
                            {"sequence", plain<is_sequence>},
                            {"odd", odd},
                            {"even", even},
                            {"divisibleby", divisible},
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

// What jinja2 has and we do not: "not supported" rather than "wrong".
constexpr std::string_view kElsewhere[] = {
    "attr",    "batch",   "center",    "filesizeformat", "forceescape", "groupby", "pprint",    "random",
    "round",   "slice",   "striptags", "truncate",       "urlencode",   "urlize",  "wordcount", "wordwrap",
    "xmlattr", "escaped", "filter",    "lower",          "sameas",      "test",    "upper"};

}  // namespace

const Named* find_filter(std::string_view name) noexcept {
  const Named* found = find_text_filter(name);
  return found != nullptr ? found : find_sequence_filter(name);
}

const Named* find_test(std::string_view name) noexcept { return find_in(kTests, name); }

void fail_unknown(std::string_view kind, std::string_view name) {
  const std::string what = std::string(kind) + " '" + std::string(name) + "'";
  if (std::find(std::begin(kElsewhere), std::end(kElsewhere), name) != std::end(kElsewhere))
    fail_lacking("the " + what);
  fail("there is no " + what);
}

Value call_builtin(Run& run, const Named& named, const Value& input, const Args& args) {
  const auto content = [](const Value& value) { return value.extent().content; };
  run.charge(input.text() != nullptr ? 1 + input.extent().weight : 1);  // what works on text reads all of it
  Value out = run.made(named.builtin(run, input, args));
  if (named.marks == Marks::kept || out.text() == nullptr) return out;
  const bool theirs =
      content(input) || std::any_of(args.positional.begin(), args.positional.end(), content) ||
      std::any_of(args.named.begin(), args.named.end(), [&](const auto& each) { return content(each.second); });
  if (!theirs) return out;
  MarkedText text = *out.marked();
  text.mark_all();
  return Value(std::move(text));
}

}  // namespace frugal::jinja

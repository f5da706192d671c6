// The functions every template sees.
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/builtins.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/print.hpp"
#include "text/jinja/run.hpp"

namespace frugal::jinja {
namespace {

using Call = Value (*)(Run&, const Args&);

constexpr std::int64_t kMaxRange = 100000;  // jinja2's sandbox has the same limit

std::string range_text(std::int64_t start, std::int64_t stop, std::int64_t step) {
  const std::string ends = "range(" + std::to_string(start) + ", " + std::to_string(stop);
  return step == 1 ? ends + ")" : ends + ", " + std::to_string(step) + ")";
}

Value range(Run& run, const Args& args) {
  const Bound bound(args, "range", {"start", "stop", "step"});
  std::int64_t start = integer_argument(bound.require(0), "range: start"), stop = 0;
  if (bound[1] == nullptr) {
    stop = std::exchange(start, 0);
  } else {
    stop = integer_argument(*bound[1], "range: stop");
  }
  const std::int64_t step = integer_argument(bound.get(2, Value(std::int64_t{1})), "range: step");
  if (step == 0) fail("range: step must not be zero");
  auto out = std::make_shared<Sequence>();
  out->flavor = Flavor::range;
  out->shown = range_text(start, stop, step);
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<std::int64_t>(out->items.size()) >= kMaxRange)
      fail("range: too big, the limit is " + std::to_string(kMaxRange));
    run.charge(1);
    out->items.emplace_back(i);
    out->extent.add({});
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value(std::shared_ptr<const Sequence>(std::move(out)));
}

// namespace(mapping, name=value ...)
Value make_namespace(Run& run, const Args& args) {
  const std::shared_ptr<Space> out = run.make_space("Namespace");
  if (args.positional.size() > 1) fail("namespace takes at most one positional argument");
  if (!args.positional.empty()) {
    const Dict* given = args.positional[0].dict();
    if (given == nullptr) fail("namespace takes a mapping, not " + args.positional[0].type_name());
    for (const auto& [key, value] : given->entries()) out->attributes[to_text(key).bytes()] = value;
  }
  for (const auto& [name, value] : args.named) out->attributes[name] = value;
  return Value(out);
}

// dict(mapping, name=value ...)
Value make_dict_of(Run&, const Args& args) {
  Dict out;
  if (args.positional.size() > 1) fail("dict takes at most one positional argument");
  if (!args.positional.empty()) {
    if (args.positional[0].dict() == nullptr) fail_lacking("dict() of anything but a mapping");
    out = *args.positional[0].dict();
  }
  for (const auto& [name, value] : args.named) out.set(Value(name), value);
  return make_dict(std::move(out));
}

Value raise_exception(Run&, const Args& args) {
  const Bound bound(args, "raise_exception", {"message"});
  fail(to_text(bound.require(0)).bytes());
}

struct Global {
  std::string_view name;
  Call call;
};

constexpr Global kGlobals[] = {
    {"range", range}, {"namespace", make_namespace}, {"dict", make_dict_of}, {"raise_exception", raise_exception}};

}  // namespace

Value find_global(std::string_view name) {
  for (const Global& each : kGlobals) {
    if (each.name == name) return Value(std::make_shared<const Function>(Function{std::string(name), each.call}));
  }
  if (name == "joiner" || name == "cycler" || name == "lipsum")
    return Value::undefined("the function '" + std::string(name) + "' is not supported");
  return Value::undefined("'" + std::string(name) + "' is undefined");
}

}  // namespace frugal::jinja

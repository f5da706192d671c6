// The functions every template sees.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/builtins.hpp"
#include "text/jinja/filters.hpp"
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

Value range(Run&, const Args& args) {
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
    out->items.emplace_back(i);
    out->extent.add({});
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value(std::shared_ptr<const Sequence>(std::move(out)));
}

// dict(pairs or mapping, name=value ...)
Dict dict_of(Run& run, const Args& args, std::string_view what) {
  Dict out;
  if (args.positional.size() > 1) fail(std::string(what) + " takes at most one positional argument");
  if (!args.positional.empty() && args.positional[0].dict() != nullptr) {
    out = *args.positional[0].dict();
  } else if (!args.positional.empty()) {
    for (const Value& pair : iterate(run, args.positional[0])) {
      const std::vector<Value> both = iterate(run, pair);
      if (both.size() != 2) fail(std::string(what) + " needs pairs");
      out.set(both[0], both[1]);
    }
  }
  for (const auto& [name, value] : args.named) out.set(Value(name), value);
  return out;
}

Value dict(Run& run, const Args& args) { return make_dict(dict_of(run, args, "dict")); }

Value make_namespace(Run& run, const Args& args) {
  const std::shared_ptr<Space> out = run.make_space("Namespace");
  const Dict given = dict_of(run, args, "namespace");
  for (const auto& [key, value] : given.entries()) out->attributes[to_text(key)] = value;
  return Value(out);
}

Value raise_exception(Run&, const Args& args) {
  const Bound bound(args, "raise_exception", {"message"});
  fail(to_text(bound.require(0)));
}

// joiner(sep): nothing at the first call, the separator afterwards.
Value joiner(Run& run, const Args& args) {
  const Bound bound(args, "joiner", {"sep"});
  const std::shared_ptr<Space> state = run.make_space("Joiner");
  const Value separator = bound.get(0, Value(", "));
  return Value(std::make_shared<const Function>(Function{"joiner", [state, separator](Run&, const Args&) {
                                                           return state->attributes.emplace("used", Value(true)).second
                                                                      ? Value("")
                                                                      : separator;
                                                         }}));
}

// cycler(a, b, ...): an object with next(), reset() and current.
Value cycler(Run& run, const Args& args) {
  if (args.positional.empty() || !args.named.empty()) fail("cycler: at least one item has to be given");
  const std::shared_ptr<Space> out = run.make_space("Cycler");
  const auto at = std::make_shared<std::size_t>(0);
  const auto function = [](std::string name, std::function<Value(Run&, const Args&)> call) {
    return Value(std::make_shared<const Function>(Function{std::move(name), std::move(call)}));
  };
  const std::vector<Value> all = args.positional;
  out->attributes["next"] = function("next", [at, all](Run&, const Args&) {
    const std::size_t i = *at;
    *at = (i + 1) % all.size();
    return all[i];
  });
  out->attributes["reset"] = function("reset", [at](Run&, const Args&) {
    *at = 0;
    return Value(None{});
  });
  out->computed = [at, all](std::string_view name) {
    return name == "current" ? std::optional<Value>(all[*at]) : std::nullopt;
  };
  return Value(out);
}

struct Global {
  std::string_view name;
  Call call;
};

constexpr Global kGlobals[] = {
    {"range", range},   {"dict", dict},    {"namespace", make_namespace}, {"raise_exception", raise_exception},
    {"joiner", joiner}, {"cycler", cycler}};

}  // namespace

Value find_global(std::string_view name) {
  for (const Global& each : kGlobals) {
    if (each.name == name) return Value(std::make_shared<const Function>(Function{std::string(name), each.call}));
  }
  if (name == "strftime_now")
    return Value::undefined("'strftime_now' needs a date: pass \"strftime_now\": \"2025-01-31\" in extra");
  return Value::undefined("'" + std::string(name) + "' is undefined");
}

}  // namespace frugal::jinja

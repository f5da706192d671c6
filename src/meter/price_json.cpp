// Prices out of JSON (docs/prices.md). Strict: a field that is not known is an error, because a misspelt rate would be
// a price of nothing.
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <initializer_list>

#include <nlohmann/json.hpp>

#include "meter/price_table.hpp"

namespace frugal {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void bad(const std::string& where, const std::string& what) {
  throw Error(Errc::bad_file, "prices: " + where + ": " + what);
}

void only(const Json& object, std::initializer_list<std::string_view> known, const std::string& where) {
  if (!object.is_object()) bad(where, "not an object");
  for (const auto& [key, value] : object.items()) {
    bool found = std::any_of(known.begin(), known.end(), [&key = key](std::string_view k) { return k == key; });
    if (!found) bad(where, "unknown field \"" + key + "\"");
  }
}

std::string text(const Json& value, const std::string& where) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) bad(where, "not a text");
  return value.get<std::string>();
}

bool flag(const Json& value, const std::string& where) {
  if (!value.is_boolean()) bad(where, "not true or false");
  return value.get<bool>();
}

double dollars(const Json& value, const std::string& where) {
  if (!value.is_number()) bad(where, "not a number of dollars");
  const double d = value.get<double>();
  if (!std::isfinite(d) || d < 0) bad(where, "a price is finite and not negative");
  return d;
}

std::uint64_t limit(const std::string& key, const std::string& where) {
  const bool digits = !key.empty() && key.size() < 19 && key.find_first_not_of("0123456789") == std::string::npos;
  if (!digits) bad(where, "\"" + key + "\" is not a number of tokens");
  return std::stoull(key);
}

TieredRate rate(const Json& value, const std::string& where) {
  if (!value.is_object()) return {dollars(value, where)};
  only(value, {"base", "above"}, where);
  if (!value.contains("base") || !value.contains("above") || !value["above"].is_object())
    bad(where, "a tiered price is {\"base\": dollars, \"above\": {\"tokens\": dollars}}");
  TieredRate out{dollars(value["base"], where + ".base")};
  for (const auto& [key, price] : value["above"].items()) {
    const std::string here = where + ".above." + key;
    if (!out.above.empty() && limit(key, here) <= out.above.back().first) bad(here, "tiers rise");
    out.above.emplace_back(limit(key, here), dollars(price, here));
  }
  return out;
}

std::chrono::sys_days day(const Json& value, const std::string& where) {
  int y = 0, used = 0;
  unsigned m = 0, d = 0;
  const std::string s = text(value, where);
  const bool read = s.size() == 10 && std::sscanf(s.c_str(), "%4d-%2u-%2u%n", &y, &m, &d, &used) == 3 && used == 10;
  const std::chrono::year_month_day date{std::chrono::year(y), std::chrono::month(m), std::chrono::day(d)};
  if (!read || !date.ok()) bad(where, "\"" + s + "\" is not a date like 2026-10-14");
  return date;
}

int minute(const Json& value, const std::string& where) {
  int h = -1, m = -1, used = 0;
  const std::string s = text(value, where);
  const bool read = s.size() == 5 && std::sscanf(s.c_str(), "%2d:%2d%n", &h, &m, &used) == 2 && used == 5;
  if (!read || h < 0 || m < 0 || m > 59 || h * 60 + m > 24 * 60) bad(where, "\"" + s + "\" is not a time like 16:30");
  return h * 60 + m;
}

unsigned weekdays(const Json& value, const std::string& where) {
  constexpr std::array<std::string_view, 7> names{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
  if (!value.is_array() || value.empty()) bad(where, "not a list of days");
  unsigned bits = 0;
  for (const Json& name : value) {
    const auto found = std::find(names.begin(), names.end(), text(name, where));
    if (found == names.end()) bad(where, name.dump() + " is not one of sun, mon, tue, wed, thu, fri, sat");
    bits |= 1U << (found - names.begin());
  }
  return bits;
}

std::pair<int, int> hours(const Json& value, const std::string& where) {
  if (!value.is_array() || value.size() != 2) bad(where, "not a pair of times");
  return {minute(value[0], where), minute(value[1], where)};
}

DatedPrice dated_price(const Json& object, const std::string& where) {
  only(object,
       {"since", "hours", "days", "tier", "batch", "input", "cached_read", "cache_write", "cache_write_1h", "output",
        "reasoning", "call", "storage"},
       where);
  DatedPrice out;
  if (object.contains("since")) out.when.since = day(object["since"], where + ".since");
  if (object.contains("hours")) out.when.minutes = hours(object["hours"], where + ".hours");
  if (object.contains("days")) out.when.days = weekdays(object["days"], where + ".days");
  for (std::size_t i = 0; i < rate_names.size(); ++i) {
    const std::string name(rate_names[i].json);
    if (object.contains(name)) out.rates[i] = rate(object[name], where + "." + name);
  }
  return out;
}

std::vector<DatedPrice> prices(const Json& value, const std::string& where) {
  std::vector<DatedPrice> out;
  const Json list = value.is_array() ? value : Json::array({value});
  if (list.empty()) bad(where, "empty");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string here = where + "[" + std::to_string(i) + "]";
    out.push_back(dated_price(list[i], here));
    if (list[i].contains("tier") || list[i].contains("batch")) bad(here, "a tier or batch belongs into \"variants\"");
  }
  return out;
}

Variant variant(const Json& object, const std::string& where) {
  Variant out;
  out.price = dated_price(object, where);
  if (object.contains("tier")) out.tier = text(object["tier"], where + ".tier");
  if (object.contains("batch")) out.batch = flag(object["batch"], where + ".batch");
  if (out.tier.empty() && !out.batch) bad(where, "a variant names a \"tier\" or says \"batch\": true");
  return out;
}

PricedModel model(const Json& object, const std::string& place) {
  if (!object.is_object() || !object.contains("id")) bad(place, "a model has an \"id\"");
  PricedModel out;
  out.id = text(object["id"], place + ".id");
  only(object, {"id", "names", "bare", "prices", "variants"}, out.id);
  if (object.contains("names")) {
    if (!object["names"].is_array()) bad(out.id + ".names", "not a list");
    for (const Json& name : object["names"]) out.names.push_back(text(name, out.id + ".names"));
  }
  if (object.contains("bare")) out.bare = flag(object["bare"], out.id + ".bare");
  if (!object.contains("prices")) bad(out.id, "no \"prices\"");
  out.prices = prices(object["prices"], out.id + ".prices");
  const Json variants = object.value("variants", Json::array());
  if (!variants.is_array()) bad(out.id + ".variants", "not a list");
  for (std::size_t i = 0; i < variants.size(); ++i)
    out.variants.push_back(variant(variants[i], out.id + ".variants[" + std::to_string(i) + "]"));
  return out;
}

Json parsed(std::string_view json) {
  try {
    return Json::parse(json);
  } catch (const Json::exception& error) {
    bad("JSON", error.what());
  }
}

}  // namespace

PriceBook::Table parse_prices(std::string_view json) {
  const Json root = parsed(json);
  only(root, {"format", "source", "date", "models"}, "the file");
  if (root.contains("format") && root["format"] != "frugal-prices-1")
    bad("format", root["format"].dump() + " is not \"frugal-prices-1\"");
  if (!root.contains("models") || !root["models"].is_array()) bad("models", "not a list");
  PriceBook::Table table;
  if (root.contains("source")) table.source = text(root["source"], "source");
  if (root.contains("date")) day(root["date"], "date"), table.date = root["date"].get<std::string>();
  for (std::size_t i = 0; i < root["models"].size(); ++i)
    table.models.push_back(model(root["models"][i], "models[" + std::to_string(i) + "]"));
  table.make_index();
  return table;
}

}  // namespace frugal

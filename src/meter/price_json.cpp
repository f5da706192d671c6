// Prices out of JSON (docs/prices.md). Strict: a field that is not known is an error, because a misspelt rate would be
// a price of nothing.
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "core/printable.hpp"
#include "meter/json_cursor.hpp"
#include "meter/price_table.hpp"

namespace frugal {
namespace {

using meter::JsonCursor;

[[noreturn]] void bad(const std::string& where, const std::string& what) {
  throw Error(Errc::bad_file, "prices: " + where + ": " + what);
}

/// Reads an object: `field(key)` reads the value of a key that it knows, and returns false for any other.
template <class Field>
void read_object(JsonCursor& c, const std::string& where, const Field& field) {
  if (c.peek() != '{') bad(where, "not an object");
  std::string_view key;
  for (c.begin_object(); c.next_key(key);) {
    const std::string name(key);  // the view ends with the next call
    if (!field(name)) bad(where, "unknown field \"" + printable(name) + "\"");
  }
}

std::string text(JsonCursor& c, const std::string& where) {
  if (c.peek() != '"') bad(where, "not a text");
  std::string value(c.string());
  if (value.empty()) bad(where, "an empty text");
  return value;
}

bool flag(JsonCursor& c, const std::string& where) {
  if (c.peek() != 't' && c.peek() != 'f') bad(where, "not true or false");
  return c.boolean();
}

double dollars(JsonCursor& c, const std::string& where) {
  constexpr double most = 1e9;  // a million tokens, or a call, of a billion dollars
  const char next = c.peek();
  if (next != '-' && !(next >= '0' && next <= '9')) bad(where, "not a number of dollars");
  const double d = c.number();
  if (!(d >= 0 && d <= most)) bad(where, "a price must be between 0 and a billion dollars");
  return d;
}

std::uint64_t limit(const std::string& key, const std::string& where) {
  const bool digits = !key.empty() && key.size() < 19 && key.find_first_not_of("0123456789") == std::string::npos;
  if (!digits) bad(where, "\"" + printable(key) + "\" is not a number of tokens");
  return std::stoull(key);
}

TieredRate rate(JsonCursor& c, const std::string& where) {
  if (c.peek() != '{') return {dollars(c, where)};
  TieredRate out;
  bool has_base = false, has_tiers = false;
  const auto tier = [&](const std::string& key) {
    const std::string here = where + ".above." + printable(key);
    const std::uint64_t tokens = limit(key, here);
    if (!out.above.empty() && tokens <= out.above.back().first) bad(here, "tiers rise");
    out.above.emplace_back(tokens, dollars(c, here));
    return true;
  };
  read_object(c, where, [&](const std::string& key) {
    if (key == "base") {
      out.base = dollars(c, where + ".base");
      has_base = true;
    } else if (key == "above") {
      read_object(c, where + ".above", tier);
      has_tiers = true;
    } else {
      return false;
    }
    return true;
  });
  if (!has_base || !has_tiers) bad(where, "a tiered price is {\"base\": dollars, \"above\": {\"tokens\": dollars}}");
  return out;
}

std::chrono::sys_days day(const std::string& s, const std::string& where) {
  int y = 0, used = 0;
  unsigned m = 0, d = 0;
  const bool read = s.size() == 10 && std::sscanf(s.c_str(), "%4d-%2u-%2u%n", &y, &m, &d, &used) == 3 && used == 10;
  const std::chrono::year_month_day date{std::chrono::year(y), std::chrono::month(m), std::chrono::day(d)};
  if (!read || !date.ok()) bad(where, "\"" + printable(s) + "\" is not a date like 2026-10-14");
  return date;
}

int minute(JsonCursor& c, const std::string& where) {
  int h = -1, m = -1, used = 0;
  const std::string s = text(c, where);
  const bool read = s.size() == 5 && std::sscanf(s.c_str(), "%2d:%2d%n", &h, &m, &used) == 2 && used == 5;
  if (!read || h < 0 || m < 0 || m > 59 || h * 60 + m > 24 * 60)
    bad(where, "\"" + printable(s) + "\" is not a time like 16:30");
  return h * 60 + m;
}

unsigned weekdays(JsonCursor& c, const std::string& where) {
  constexpr std::array<std::string_view, 7> names{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
  if (c.peek() != '[') bad(where, "not a list of days");
  unsigned bits = 0;
  for (c.begin_array(); c.next_item();) {
    const std::string name = text(c, where);
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) bad(where, "\"" + printable(name) + "\" is not one of sun, mon, tue, wed, thu, fri, sat");
    bits |= 1U << (found - names.begin());
  }
  if (bits == 0) bad(where, "not a list of days");
  return bits;
}

std::pair<int, int> hours(JsonCursor& c, const std::string& where) {
  std::vector<int> times;
  if (c.peek() == '[')
    for (c.begin_array(); c.next_item();) times.push_back(minute(c, where));
  if (times.size() != 2) bad(where, "not a pair of times");
  return {times[0], times[1]};
}

/// A dated price or a variant, which may name a tier or say batch as well.
Variant priced(JsonCursor& c, const std::string& where) {
  Variant out;
  read_object(c, where, [&](const std::string& key) {
    const std::string here = where + "." + key;
    const auto* const name =
        std::find_if(rate_names.begin(), rate_names.end(), [&](const RateName& n) { return n.json == key; });
    if (name != rate_names.end())
      out.price.rates[static_cast<std::size_t>(name - rate_names.begin())] = rate(c, here);
    else if (key == "since")
      out.price.when.since = day(text(c, here), here);
    else if (key == "hours")
      out.price.when.minutes = hours(c, here);
    else if (key == "days")
      out.price.when.days = weekdays(c, here);
    else if (key == "tier")
      out.tier = text(c, here);
    else if (key == "batch")
      out.batch = flag(c, here);
    else
      return false;
    return true;
  });
  return out;
}

DatedPrice dated_price(JsonCursor& c, const std::string& where) {
  Variant read = priced(c, where);
  if (!read.tier.empty() || read.batch) bad(where, "a tier or batch belongs in \"variants\"");
  return std::move(read.price);
}

std::vector<DatedPrice> prices(JsonCursor& c, const std::string& where) {
  std::vector<DatedPrice> out;
  const auto add = [&] { out.push_back(dated_price(c, where + "[" + std::to_string(out.size()) + "]")); };
  if (c.peek() == '[') {
    for (c.begin_array(); c.next_item();) add();
  } else {
    add();
  }
  if (out.empty()) bad(where, "empty");
  return out;
}

std::vector<Variant> variants(JsonCursor& c, const std::string& where) {
  if (c.peek() != '[') bad(where, "not a list");
  std::vector<Variant> out;
  for (c.begin_array(); c.next_item();) {
    const std::string here = where + "[" + std::to_string(out.size()) + "]";
    out.push_back(priced(c, here));
    if (out.back().tier.empty() && !out.back().batch) bad(here, "a variant names a \"tier\" or says \"batch\": true");
  }
  return out;
}

std::vector<std::string> texts(JsonCursor& c, const std::string& where) {
  if (c.peek() != '[') bad(where, "not a list");
  std::vector<std::string> out;
  for (c.begin_array(); c.next_item();) out.push_back(text(c, where));
  return out;
}

/// The id of the object that begins here, looked for ahead of the rest: messages name it.
std::string id_ahead(JsonCursor c, const std::string& place) {
  if (c.peek() != '{') bad(place, "not an object");
  std::string_view key;
  for (c.begin_object(); c.next_key(key); c.skip())
    if (key == "id") return printable(text(c, place + ".id"));
  bad(place, "a model has an \"id\"");
}

PricedModel model(JsonCursor& c, const std::string& place) {
  const std::string where = id_ahead(c, place);
  PricedModel out;
  read_object(c, where, [&](const std::string& key) {
    if (key == "id")
      out.id = text(c, where);
    else if (key == "names")
      out.names = texts(c, where + ".names");
    else if (key == "bare")
      out.bare = flag(c, where + ".bare");
    else if (key == "prices")
      out.prices = prices(c, where + ".prices");
    else if (key == "variants")
      out.variants = variants(c, where + ".variants");
    else
      return false;
    return true;
  });
  if (out.prices.empty()) bad(where, "no \"prices\"");
  return out;
}

PriceBook::Table table_of(JsonCursor& c) {
  PriceBook::Table table;
  bool has_models = false;
  read_object(c, "the file", [&](const std::string& key) {
    if (key == "format") {
      const std::string format = text(c, "format");
      if (format != "frugal-prices-1") bad("format", "\"" + printable(format) + "\" is not \"frugal-prices-1\"");
    } else if (key == "source") {
      table.source = text(c, "source");
    } else if (key == "date") {
      table.date = text(c, "date");
      day(table.date, "date");
    } else if (key == "models") {
      if (c.peek() != '[') bad("models", "not a list");
      for (c.begin_array(); c.next_item();)
        table.models.push_back(model(c, "models[" + std::to_string(table.models.size()) + "]"));
      has_models = true;
    } else {
      return false;
    }
    return true;
  });
  c.end();
  if (!has_models) bad("models", "not a list");
  table.make_index();
  return table;
}

}  // namespace

PriceBook::Table parse_prices(std::string_view json) {
  JsonCursor cursor(json);
  try {
    return table_of(cursor);
  } catch (const meter::JsonFault& fault) {
    const auto line = 1 + std::count(json.begin(), json.begin() + static_cast<std::ptrdiff_t>(fault.at), '\n');
    bad("JSON, line " + std::to_string(line) + ", byte " + std::to_string(fault.at + 1), fault.what);
  }
}

}  // namespace frugal

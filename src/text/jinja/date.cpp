// See date.hpp. English names, as Python's C locale has them.
#include "text/jinja/date.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string>

#include "text/jinja/filters.hpp"

namespace frugal::jinja {
namespace {

struct Moment {
  std::chrono::year_month_day day;
  int hour = 0, minute = 0, second = 0;
};

constexpr std::array<const char*, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                              "Thursday", "Friday", "Saturday"};
constexpr std::array<const char*, 12> kMonths = {"January", "February", "March",     "April",   "May",      "June",
                                                 "July",    "August",   "September", "October", "November", "December"};

std::string digits(int number, int width, char pad = '0') {
  std::string out = std::to_string(number);
  return std::string(static_cast<std::size_t>(std::max(0, width - static_cast<int>(out.size()))), pad) + out;
}

Moment parse_moment(const std::string& text) {
  int year = 0, hour = 0, minute = 0, second = 0, used = 0;
  unsigned month = 0, day = 0;
  const bool date = std::sscanf(text.c_str(), "%4d-%2u-%2u%n", &year, &month, &day, &used) == 3;
  const std::string rest = date ? text.substr(static_cast<std::size_t>(used)) : std::string();
  int used_time = 0;
  if (!rest.empty() &&
      std::sscanf(rest.c_str(), "%*1[T ]%2d:%2d%n:%2d%n", &hour, &minute, &used_time, &second, &used_time) < 2)
    used_time = -1;
  const Moment out{{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)}, hour, minute, second};
  const bool time = hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 61;
  if (!date || !out.day.ok() || !time || used_time != static_cast<int>(rest.size())) {
    fail("strftime_now must be a date like 2025-01-31 or 2025-01-31T13:45:00, not '" + text + "'");
  }
  return out;
}

std::string field(const Moment& at, char code, bool bare) {
  const std::chrono::sys_days days(at.day);
  const unsigned weekday = std::chrono::weekday(days).c_encoding();
  const auto month = static_cast<unsigned>(at.day.month());
  const int day = static_cast<int>(static_cast<unsigned>(at.day.day())), year = static_cast<int>(at.day.year());
  const int hour12 = at.hour % 12 == 0 ? 12 : at.hour % 12, width = bare ? 1 : 2;
  const auto new_year = std::chrono::sys_days(at.day.year() / std::chrono::January / 1);
  switch (code) {
    case 'Y':
      return digits(year, 1);
    case 'y':
      return digits(year % 100, width);
    case 'm':
      return digits(static_cast<int>(month), width);
    case 'd':
      return digits(day, width);
    case 'e':
      return digits(day, width, ' ');
    case 'B':
      return kMonths[month - 1];
    case 'b':
    case 'h':
      return std::string(kMonths[month - 1], 3);
    case 'A':
      return kDays[weekday];
    case 'a':
      return std::string(kDays[weekday], 3);
    case 'w':
      return digits(static_cast<int>(weekday), 1);
    case 'u':
      return digits(weekday == 0 ? 7 : static_cast<int>(weekday), 1);
    case 'j':
      return digits(static_cast<int>((days - new_year).count()) + 1, bare ? 1 : 3);
    case 'H':
      return digits(at.hour, width);
    case 'I':
      return digits(hour12, width);
    case 'M':
      return digits(at.minute, width);
    case 'S':
      return digits(at.second, width);
    case 'f':
      return "000000";
    case 'p':
      return at.hour < 12 ? "AM" : "PM";
    case 'F':
      return digits(year, 1) + "-" + field(at, 'm', false) + "-" + field(at, 'd', false);
    case 'T':
      return field(at, 'H', false) + ":" + field(at, 'M', false) + ":" + field(at, 'S', false);
    case 'R':
      return field(at, 'H', false) + ":" + field(at, 'M', false);
    case 'D':
      return field(at, 'm', false) + "/" + field(at, 'd', false) + "/" + field(at, 'y', false);
    case 'Z':
    case 'z':
      return "";
    case 'n':
      return "\n";
    case 't':
      return "\t";
    case '%':
      return "%";
    default:
      fail(std::string("strftime_now: no field '%") + code + "'");
  }
}

std::string formatted(const Moment& at, const std::string& format) {
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    const bool bare = format[i + 1] == '-' && i + 2 < format.size();
    i += bare ? 2 : 1;
    out += field(at, format[i], bare);
  }
  return out;
}

}  // namespace

Value strftime_function(std::string_view moment) {
  const Moment at = parse_moment(std::string(moment));
  return Value(std::make_shared<const Function>(
      Function{"strftime_now", [at](Run&, const Args& args) {
                 const Bound bound(args, "strftime_now", {"format"});
                 return Value(formatted(at, text_argument(bound.require(0), "strftime_now: format")));
               }}));
}

}  // namespace frugal::jinja

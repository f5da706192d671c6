// See date.hpp. English names, as Python's C locale has them.
#include "text/jinja/date.hpp"

#include <charconv>
#include <string>

#include "text/jinja/builtins.hpp"

namespace frugal::jinja {
namespace {

using std::chrono::sys_seconds;

struct Moment {
  std::chrono::year_month_day day;
  int weekday, of_year, hour, minute, second;  // Sunday is 0; the first of January is 1
};

Moment split(sys_seconds at) {
  const auto days = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day day(days);
  const std::chrono::sys_days new_year(day.year() / std::chrono::January / 1);
  const int seconds = static_cast<int>((at - days).count());
  return {day,
          static_cast<int>(std::chrono::weekday(days).c_encoding()),
          static_cast<int>((days - new_year).count()) + 1,
          seconds / 3600,
          seconds / 60 % 60,
          seconds % 60};
}

constexpr const char* kDays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
constexpr const char* kMonths[] = {"January", "February", "March",     "April",   "May",      "June",
                                   "July",    "August",   "September", "October", "November", "December"};

std::string digits(int number, std::size_t width) {
  const std::string out = std::to_string(number);
  return std::string(width > out.size() ? width - out.size() : 0, '0') + out;
}

/// The fields that stand for several others.
std::string_view expansion(char code) {
  switch (code) {
    case 'F':
      return "%Y-%m-%d";
    case 'T':
      return "%H:%M:%S";
    case 'R':
      return "%H:%M";
    case 'D':
      return "%m/%d/%y";
    default:
      return {};
  }
}

/// The fields that are words.
std::string word(const Moment& at, char code) {
  const std::string day = kDays[at.weekday], month = kMonths[static_cast<unsigned>(at.day.month()) - 1];
  switch (code) {
    case 'A':
      return day;
    case 'a':
      return day.substr(0, 3);
    case 'B':
      return month;
    case 'b':
    case 'h':
      return month.substr(0, 3);
    case 'p':
      return at.hour < 12 ? "AM" : "PM";
    case '%':
      return "%";
    default:
      fail_lacking(std::string("strftime_now: the field %") + code);
  }
}

std::string field(const Moment& at, char code, bool bare) {
  const std::size_t two = bare ? 1 : 2;
  const int year = static_cast<int>(at.day.year());
  switch (code) {
    case 'Y':
      return digits(year, 1);
    case 'y':
      return digits(year % 100, two);
    case 'm':
      return digits(static_cast<int>(static_cast<unsigned>(at.day.month())), two);
    case 'd':
      return digits(static_cast<int>(static_cast<unsigned>(at.day.day())), two);
    case 'j':
      return digits(at.of_year, bare ? 1 : 3);
    case 'H':
      return digits(at.hour, two);
    case 'I':
      return digits(at.hour % 12 == 0 ? 12 : at.hour % 12, two);
    case 'M':
      return digits(at.minute, two);
    case 'S':
      return digits(at.second, two);
    default:
      return word(at, code);
  }
}

std::string formatted(const Moment& at, std::string_view format) {
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    const bool bare = format[i + 1] == '-' && i + 2 < format.size();
    i += bare ? 2 : 1;
    const std::string_view several = expansion(format[i]);
    out += several.empty() ? field(at, format[i], bare) : formatted(at, several);
  }
  return out;
}

}  // namespace

Value strftime_function(sys_seconds moment) {
  return Value(std::make_shared<const Function>(
      Function{"strftime_now", [at = split(moment)](Run&, const Args& args) {
                 const Bound bound(args, "strftime_now", {"format"});
                 return Value(formatted(at, text_argument(bound.require(0), "strftime_now: format").bytes()));
               }}));
}

sys_seconds parse_moment(std::string_view text) {
  // 2025-01-31 with, optionally, T13:45:00 after it: digits at fixed places
  constexpr std::string_view form = "dddd-dd-ddTdd:dd:dd";
  bool good = text.size() == 10 || text.size() == form.size();
  for (std::size_t i = 0; good && i < text.size(); ++i)
    good = form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i] || (form[i] == 'T' && text[i] == ' ');
  const auto number = [&](std::size_t at, std::size_t size) {
    int out = 0;
    if (good && at < text.size()) std::from_chars(text.data() + at, text.data() + at + size, out);
    return out;
  };
  const std::chrono::year_month_day day{std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2)))};
  const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!good || !day.ok() || hour > 23 || minute > 59 || second > 59)
    fail("strftime_now must be a date like 2025-01-31 or 2025-01-31T13:45:00, not '" + std::string(text) + "'");
  return std::chrono::sys_days(day) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

}  // namespace frugal::jinja

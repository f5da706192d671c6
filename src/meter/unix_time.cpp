#include "meter/unix_time.hpp"

#include <chrono>

namespace frugal::meter {
namespace {

struct Scanner {
  std::string_view left;

  bool take(std::string_view any_of) {
    if (left.empty() || any_of.find(left.front()) == std::string_view::npos) return false;
    left.remove_prefix(1);
    return true;
  }
  /// So many digits; -1 where they are not there.
  int digits(std::size_t count) {
    if (left.size() < count) return -1;
    int value = 0;
    for (const char c : left.substr(0, count)) {
      if (c < '0' || c > '9') return -1;
      value = 10 * value + (c - '0');
    }
    left.remove_prefix(count);
    return value;
  }
  /// Of a second, after its point or comma.
  double fraction() {
    double value = 0, place = 1;
    for (int digit = digits(1); digit >= 0; digit = digits(1)) value += digit * (place /= 10);
    return value;
  }
};

/// Minutes east of UTC at the end of the text.
std::optional<int> offset(Scanner& s) {
  if (s.left.empty()) return 0;
  if (s.take("zZ")) return s.left.empty() ? std::optional(0) : std::nullopt;
  const int sign = s.left.front() == '-' ? -1 : 1;
  if (!s.take("+-")) return std::nullopt;
  const int hours = s.digits(2);
  s.take(":");
  const int minutes = s.left.empty() ? 0 : s.digits(2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || !s.left.empty()) return std::nullopt;
  return sign * (60 * hours + minutes);
}

}  // namespace

double unix_time(double number) {
  if (number < 1e11 || number >= 1e20) return number;
  return number / (number < 1e14 ? 1e3 : number < 1e17 ? 1e6 : 1e9);
}

std::optional<double> unix_time(std::string_view text) {
  namespace chrono = std::chrono;
  Scanner s{text};
  const int year = s.digits(4);
  const bool dash = s.take("-");
  const int month = s.digits(2);
  const bool second_dash = s.take("-");
  const int day = s.digits(2);
  const bool parted = s.take("Tt ");
  const int hour = s.digits(2);
  const bool colon = s.take(":");
  const int minute = s.digits(2);
  if (year < 0 || month < 0 || day < 0 || !dash || !second_dash || !parted || !colon) return std::nullopt;
  int second = 0;
  double part = 0;
  if (s.take(":")) {
    second = s.digits(2);
    if (second >= 0 && s.take(".,")) part = s.fraction();
  }
  const chrono::year_month_day date{chrono::year(year), chrono::month(static_cast<unsigned>(month)),
                                    chrono::day(static_cast<unsigned>(day))};
  const std::optional<int> east = offset(s);
  if (!date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || !east)
    return std::nullopt;
  const auto days = chrono::sys_days(date).time_since_epoch().count();
  return static_cast<double>(days) * 86400 + (hour * 60 + minute - *east) * 60 + second + part;
}

}  // namespace frugal::meter

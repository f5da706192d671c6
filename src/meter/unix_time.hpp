// Moments as logs write them, in seconds since 1970 (UTC).
#pragma once

#include <optional>
#include <string_view>

namespace frugal::meter {

/// A number: seconds; from 10^11 on (the year 5138) milliseconds, from 10^14 microseconds, from 10^17 nanoseconds.
/// Numbers below 0 or from 10^20 on stay what they are.
double unix_time(double number);

/// A date and time of ISO 8601 as RFC 3339 narrows it: "2026-11-27T20:15:30.25+01:00". A blank may stand for the T, seconds
/// and their fraction may be missing, an offset may lack its colon. Without an offset it counts as UTC. Nothing where
/// the text is no such moment.
std::optional<double> unix_time(std::string_view text);

}  // namespace frugal::meter

// One line of the access log: what is known of a request without what was said in it.
#pragma once

#include <frugal/core/clock.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include "server/exchange.hpp"

namespace frugal::server {

struct AccessLine {
  std::string id{}, method{}, path{}, tenant{};
  int status = 0;
  bool abandoned = false;  ///< the client left before the end
  std::uint64_t bytes = 0;
  Duration took{};
  std::optional<Duration> first_byte{};
  std::optional<Errc> error{};
  std::string field{};  ///< at fault
  std::optional<Exchange::Account> account{};
};

/// A JSON object without a line end.
std::string written(const AccessLine& line);

}  // namespace frugal::server

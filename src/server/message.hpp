// What comes in and goes out, without the library that moves it.
#pragma once

#include <frugal/server/server.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace frugal::server {

using Headers = std::vector<std::pair<std::string, std::string>>;  ///< names in lower case

struct Incoming {
  std::string method{}, path{};  ///< the path without its query
  Headers headers{};
  std::string body{};
  std::string id{};  ///< of the request: the client's own where it is fit to be repeated, else ours
  std::string tenant{};
  std::int32_t most_priority = 0;

  /// The first value of a header, or empty.
  std::string_view header(std::string_view name) const;
};

/// A whole answer.
struct Outgoing {
  int status = 200;
  std::string body{};
  std::string type = "application/json";
  Headers headers{};
  std::optional<Errc> error{};  ///< what it is, where it is one
  std::string field{};          ///< that is at fault then, as ApiError has it
};

}  // namespace frugal::server

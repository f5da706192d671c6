// The library's version as files keep it.
#pragma once

#include <frugal/version.hpp>

#include <string>

namespace frugal {

/// "MAJOR.MINOR.PATCH".
inline std::string version_text() {
  const Version v = version();
  return std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch);
}

}  // namespace frugal

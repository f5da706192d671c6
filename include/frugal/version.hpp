// The one place that states frugal's version; CMakeLists.txt parses these three macros.
#pragma once

#define FRUGAL_VERSION_MAJOR 0
#define FRUGAL_VERSION_MINOR 1
#define FRUGAL_VERSION_PATCH 0

#include <frugal/config.hpp>

namespace frugal {

/// A version as three numbers; before 1.0 a change of `minor` may break source and binary compatibility.
struct Version {
  int major, minor, patch;
  friend constexpr bool operator==(const Version&, const Version&) = default;
};

/// The version of the headers this translation unit was compiled with.
inline constexpr Version header_version{FRUGAL_VERSION_MAJOR, FRUGAL_VERSION_MINOR, FRUGAL_VERSION_PATCH};

/// The version of the library that was linked. A host that loads frugal dynamically compares it with
/// `header_version` to catch a mismatch. Thread-safe, constant time.
FRUGAL_API Version version() noexcept;

}  // namespace frugal

// Where in the settings something stands, said with what is wrong with it.
#pragma once

#include <frugal/core/error.hpp>

#include <string>

namespace frugal::tools {

/// What work() throws, with the place in the settings before it.
template <class Work>
auto at_place(const std::string& place, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    throw Error(error.code(), (place.empty() ? "" : place + ": ") + error.message());
  }
}

}  // namespace frugal::tools

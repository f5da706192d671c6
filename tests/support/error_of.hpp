// error_of: the Error an action ends in; fails the test where there is none.
#pragma once

#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>

#include <functional>
#include <string_view>

namespace frugal::testing {

inline Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  return Error(Errc::internal, "");
}

inline bool mentions(const Error& error, std::string_view text) {
  return error.message().find(text) != std::string::npos;
}

}  // namespace frugal::testing

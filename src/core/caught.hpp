// What a catch (...) block knows about the exception it holds, in words. Callbacks belong to the host and may throw
// anything; every seam that calls one catches (...) and uses these, so that no type of exception is special.
#pragma once

#include <frugal/core/error.hpp>

#include <exception>
#include <new>
#include <string>
#include <string_view>

namespace frugal {

/// The text of the exception being handled. Call only inside a catch block.
inline std::string caught_text() {
  try {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  } catch (const std::string& text) {
    return text;
  } catch (const char* text) {
    return text != nullptr ? text : "a null const char*";
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

/// The exception being handled as an Error: a frugal::Error as it is, a failed allocation as out_of_memory, everything
/// else as `code` with the text "<who>: <what it says>". Where memory is too short for the text, an out_of_memory that
/// needs none. Call only inside a catch block.
inline Error caught_error(Errc code, std::string_view who) noexcept {
  try {
    try {
      throw;
    } catch (const Error& error) {
      return error;
    } catch (const std::bad_alloc&) {
      return Error(Errc::out_of_memory, std::string(who) + ": out of memory");
    } catch (...) {
      return Error(code, std::string(who) + ": " + caught_text());
    }
  } catch (...) {
    return Error(Errc::out_of_memory, "out of memory");  // short enough for the string object itself
  }
}

}  // namespace frugal

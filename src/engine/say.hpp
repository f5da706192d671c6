// A line for the host's log. Made only where there is a log; what fails on the way costs the line and nothing else.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/ids.hpp>

namespace frugal {

/// `words` returns the line; it is called at once, so inside a catch block it may ask caught_text().
template <class Words>
void say(const LogSink& log, LogLevel level, RequestId request, Words words) noexcept {
  if (!log) return;
  try {
    log(level, request.value, words());
  } catch (...) {  // nobody is left to tell
  }
}

}  // namespace frugal

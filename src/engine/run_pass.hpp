// A pass of a backend, start to end.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/core/clock.hpp>

#include <string>
#include <utility>

#include "engine/say.hpp"

namespace frugal {

struct PassDone {
  Ticket ticket{};
  PassReport report{};
};

/// Waits for a pass; throws what the backend throws. What the backend gave up goes to the host's log.
inline PassDone wait_for(Backend& backend, const LogSink& log, Ticket ticket) {
  PassReport report = backend.wait(ticket);
  if (!report.gave_up.empty())
    say(log, LogLevel::warning, {}, [&] { return "backend " + std::string(backend.name()) + ": " + report.gave_up; });
  return {ticket, std::move(report)};
}

/// Runs a batch and waits for it.
inline PassDone run_pass(Backend& backend, const LogSink& log, const Batch& batch) {
  return wait_for(backend, log, backend.submit(batch));
}

}  // namespace frugal

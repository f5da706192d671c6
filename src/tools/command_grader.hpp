// A grader that is somebody's program: it gets the question and the answer as JSON on standard input, and its exit code
// is the grade: 0 = right, 1 = wrong. Anything else, or no end within the time limit, is no grade.
#pragma once

#include <frugal/autopilot/record.hpp>

#include <chrono>
#include <string>

namespace frugal::tools {

/// Runs `command` by the shell, in a process group of its own that is killed at the time limit. The grader throws
/// Error(policy) where the command gives no grade.
Grader expect_command(const std::string& command, std::chrono::milliseconds limit);

}  // namespace frugal::tools

#pragma once

#include "tools/commands.hpp"

namespace frugal::tools {

/// Adds `record` to the command `cascade`.
Command add_cascade_record(CLI::App& parent);

}  // namespace frugal::tools

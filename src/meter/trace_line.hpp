// One line of a trace as requests: the fields by name, for every kind of line that TraceReader knows.
#pragma once

#include <frugal/meter/trace.hpp>

#include <string_view>
#include <vector>

namespace frugal::meter {

/// Appends the requests of `line` to `out`; `out[0]` is reused where it is there already (its memory is kept). Throws
/// JsonFault.
void read_trace_line(std::string_view line, std::vector<TraceRecord>& out);

}  // namespace frugal::meter

// The second translation unit: the same headers again.
#include "units.hpp"

Seen seen_by_second_unit() { return {&frugal::header_version, sizeof(frugal::Request), sizeof(frugal::EngineOptions)}; }

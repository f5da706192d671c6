#include <frugal/policy/speculation.hpp>

namespace frugal {

SpeculationPolicy::~SpeculationPolicy() = default;

}  // namespace frugal

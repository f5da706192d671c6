#include <frugal/draft/drafter.hpp>

namespace frugal {

Drafting::~Drafting() = default;
Drafter::~Drafter() = default;

}  // namespace frugal

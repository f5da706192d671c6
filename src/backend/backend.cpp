// Anchors the vtable and type_info of Backend, so that they are one across shared libraries.
#include <frugal/backend/backend.hpp>

namespace frugal {

Backend::~Backend() = default;

}  // namespace frugal

// What HttpOptions must hold.
#pragma once

#include <frugal/http/http_endpoint.hpp>

namespace frugal::http {

/// The options with their URL cut to its form. Throws Error(invalid_argument) that names the option.
HttpOptions checked(HttpOptions options);

}  // namespace frugal::http

// What a request's first line and its Host header say, taken apart.
#pragma once

#include <string>
#include <string_view>

namespace frugal::server {

/// The path of a request's target: without query, and without the scheme and host that clients of proxies send.
std::string path_of(std::string_view target);

/// With each %XX as its byte. What is no such triple stays.
std::string percent_decoded(std::string_view text);

/// Whether the Host header names this machine by an address, as localhost or a name below it, or by nothing at all.
bool is_address_or_localhost(std::string_view host);
/// Whether it names this host, whatever the port. Letters count alike.
bool names_host(std::string_view header, std::string_view host);

/// Whether a content-type is application/json, with any parameters.
bool is_json_type(std::string_view content_type);

}  // namespace frugal::server

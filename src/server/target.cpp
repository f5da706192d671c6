#include "server/target.hpp"

#include <algorithm>

#include "core/ascii.hpp"

namespace frugal::server {

namespace {

bool ends_in(std::string_view text, std::string_view end) {
  return text.size() > end.size() && same_word(text.substr(text.size() - end.size()), end);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The name in "name:port" and "[::1]:port".
std::string_view without_port(std::string_view host) {
  host = trimmed(host);
  if (!host.empty() && host.front() == '[') return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower_ascii(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Four numbers: no name of the DNS ends in one.
bool is_ipv4(std::string_view name) {
  return std::count(name.begin(), name.end(), '.') == 3 &&
         std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

}  // namespace

std::string path_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"})
    if (target.size() > scheme.size() && same_word(target.substr(0, scheme.size()), scheme)) {
      const std::size_t slash = target.find('/', scheme.size());
      target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
    }
  return std::string(target.substr(0, target.find('?')));
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool triple = text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0;
    out += triple ? static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2])) : text[i];
    if (triple) i += 2;
  }
  return out;
}

bool is_address_or_localhost(std::string_view host) {
  const std::string_view name = without_port(host);
  return name.empty() || name.front() == '[' || is_ipv4(name) || same_word(name, "localhost") ||
         ends_in(name, ".localhost");
}

bool names_host(std::string_view header, std::string_view host) { return same_word(without_port(header), host); }

bool is_json_type(std::string_view content_type) {
  return same_word(trimmed(content_type.substr(0, content_type.find(';'))), "application/json");
}

}  // namespace frugal::server

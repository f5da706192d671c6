// YAML that people write by hand, as the JSON it means. Every value keeps its line, so that one reader of settings names
// the lines of both.
#pragma once

#include <string>
#include <string_view>

namespace frugal::tools {

/// One document of YAML as JSON text in which each name and each value begins on the line it has in `yaml`. Names that
/// occur twice are handed on. Scalars without quotes are null, true, false, a decimal number, or text. Throws
/// Error(bad_file) that begins with "ORIGIN:LINE: ": malformed text, bytes that are no UTF-8, anchors, aliases, tags, merge
/// keys, names that are no scalars, a second document, nesting beyond most_json_depth. Linear in the text.
/// Throws Error(unavailable) in a build without libyaml.
std::string json_from_yaml(std::string_view yaml, const std::string& origin);

}  // namespace frugal::tools

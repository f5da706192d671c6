// minLength, maxLength, pattern, format.
#include "grammar/regex/tree.hpp"
#include "grammar/schema/reader.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

void min_length(const Reader::Place& at, const Json& value) {
  at.schema.string.least = std::max(at.schema.string.least, at.count(value));
}

void max_length(const Reader::Place& at, const Json& value) {
  at.schema.string.most = std::min(at.schema.string.most, at.count(value));
}

void pattern(const Reader::Place& at, const Json& value) {
  at.schema.string.languages.push_back(at.pattern(at.string(value)));
}

void format(const Reader::Place& at, const Json& value) {
  if (!value.is(Json::Kind::string)) return;  // an annotation of somebody's own
  if (value.text == "regex" || value.text == "iri" || value.text == "iri-reference" || value.text == "idn-hostname" ||
      value.text == "idn-email" || value.text == "uri-template") {
    at.refuse("the format " + value.text);
  }
  const std::string_view known = format_pattern(value.text);
  if (!known.empty()) at.schema.string.languages.push_back(at.pattern(std::string(known)));
}

}  // namespace

KeywordReader string_keyword(std::string_view keyword) {
  if (keyword == "minLength") return min_length;
  if (keyword == "maxLength") return max_length;
  if (keyword == "pattern") return pattern;
  if (keyword == "format") return format;
  return nullptr;
}

}  // namespace frugal::grammar

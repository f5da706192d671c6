// Judges texts byte by byte through the public API, over a vocabulary of bytes and some longer tokens.
#pragma once

#include "text/small_vocabulary.hpp"

#include <frugal/core/constraint.hpp>
#include <frugal/grammar/grammar.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::test {

/// Bytes 0 to 255, then tokens as a model has them: pieces of words, of JSON, of numbers and of white space; the last
/// one ends an answer.
inline const Tokenizer& json_tokenizer() {
  static const Tokenizer tokenizer = [] {
    BpeVocabulary v = small_vocabulary();
    for (const char* text : {"\",",  "\":",  "\": \"", "{\"",   "[\"",  "\"}",     "\"}]",     "],", ", \"", "ab",
                             "abc",  "name", "na",     "me",    "12",   "00",      "1.",       "e+", "true", "false",
                             "null", "  ",   "\n  ",   "\\u00", "\\\"", "a\",\"b", "\xC3\xA9", "1,", "1]"}) {
      std::string spelled;
      for (const char c : std::string_view(text)) spelled += v.tokens[static_cast<unsigned char>(c)];
      add(v, spelled, BpeVocabulary::Kind::normal);
    }
    v.eos = add(v, "<|end|>");
    return Tokenizer(std::move(v));
  }();
  return tokenizer;
}

inline std::unique_ptr<Constraint> open(const std::shared_ptr<const ConstraintSource>& source) {
  return source->open(json_tokenizer()).value();
}

inline bool takes(Constraint& constraint, std::string_view text) {
  for (const char c : text) {
    if (!constraint.advance(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

/// The text is a whole one.
inline bool accepts(const std::shared_ptr<const ConstraintSource>& source, std::string_view text) {
  const auto constraint = open(source);
  return takes(*constraint, text) && constraint->state() != ConstraintState::open;
}

inline bool schema_accepts(std::string_view schema, std::string_view text,
                           const grammar::JsonSchemaOptions& options = {}) {
  return accepts(grammar::json_schema(schema, options), text);
}

/// The keywords and places that a schema is refused for, e.g. "uniqueItems at /not".
inline std::vector<std::string> refused(std::string_view schema) {
  std::vector<std::string> names;
  for (const auto& r : grammar::check_json_schema(schema, {}).refused)
    names.push_back(r.keyword + (r.path.empty() ? "" : " at " + r.path));
  return names;
}

}  // namespace frugal::test

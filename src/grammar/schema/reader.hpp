// Reader: from JSON to rules, a schema at a time and only those that are asked for. What a keyword means is in
// read_numbers, read_strings, read_arrays, read_objects and read_logic.
#pragma once

#include "grammar/regex/alphabet.hpp"
#include "grammar/schema/document.hpp"
#include "grammar/schema/rules.hpp"

#include <deque>
#include <unordered_map>
#include <unordered_set>

namespace frugal::grammar {

struct ReaderOptions {
  bool in_order = false;                      ///< x-order where a schema does not say it
  std::unordered_set<std::string> lenient{};  ///< keywords that are left out
  bool partial = false;  ///< a keyword that is refused does not keep the others of its schema from being read
};

class Reader {
 public:
  Reader(const Document& document, ExprStore& store, const Limits& limits, ReaderOptions options);

  /// The rules of a schema; reads it first where that has not been done. Valid as long as the reader.
  const Schema& schema(std::uint32_t id);
  Lit lit(const Json& schema);          ///< of a schema in the document
  Lit lit_of_value(const Json& value);  ///< the schema {"const": value}
  Lit add(Schema schema);               ///< one made up
  std::uint32_t add(ArrayRule rule);
  std::uint32_t add(ObjectRule rule);
  const ArrayRule& array(std::uint32_t rule) const { return arrays_[rule]; }
  const ObjectRule& object(std::uint32_t rule) const { return objects_[rule]; }

  const Document& document() const { return document_; }
  const Alphabet& strings() const { return strings_; }
  ExprStore& store() { return store_; }
  const Limits& limits() const { return limits_; }
  const ReaderOptions& options() const { return options_; }

  // For the readers of keywords. They throw Refusal.
  struct Place {
    Reader& reader;
    Schema& schema;
    const Json& source;  ///< the whole schema
    std::string_view keyword;
    [[noreturn]] void refuse(std::string why) const;
    std::uint32_t count(const Json& value) const;  ///< a whole number from 0
    Decimal number(const Json& value) const;
    bool boolean(const Json& value) const;
    const std::string& string(const Json& value) const;
    const std::vector<Json>& list(const Json& value) const;
    const std::vector<std::pair<std::string, Json>>& object(const Json& value) const;
    Lit schema_of(const Json& value) const;
    ArrayRule& array_rule() const;
    ObjectRule& object_rule() const;
    ExprId pattern(const std::string& text) const;
  };

 private:
  void read(Schema& schema);

  const Document& document_;
  ExprStore& store_;
  Limits limits_;
  ReaderOptions options_;
  Alphabet strings_;
  std::deque<Schema> schemas_;
  std::deque<ArrayRule> arrays_;
  std::deque<ObjectRule> objects_;
  std::unordered_map<const Json*, Lit> by_source_, by_value_;
  std::unordered_map<std::string, ExprId> patterns_;
};

using KeywordReader = void (*)(const Reader::Place& at, const Json& value);
/// Null where the keyword does not restrict what a schema accepts.
KeywordReader keyword_reader(std::string_view keyword);

// One a family, each null for what is not its own.
KeywordReader number_keyword(std::string_view keyword);
KeywordReader string_keyword(std::string_view keyword);
KeywordReader array_keyword(std::string_view keyword);
KeywordReader object_keyword(std::string_view keyword);
KeywordReader logic_keyword(std::string_view keyword);

void unevaluated_properties(const Reader::Place& at, const Json& value);
void unevaluated_items(const Reader::Place& at, const Json& value);

/// The regular expression of a format of the specification; empty where the name is not one of them.
std::string_view format_pattern(std::string_view name);

}  // namespace frugal::grammar

// Document: the schemas of one text and how references find them: $id and id, $anchor, $dynamicAnchor, JSON pointers.
#pragma once

#include "grammar/schema/json.hpp"
#include "grammar/schema/refusal.hpp"

#include <map>
#include <string>
#include <unordered_map>

namespace frugal::grammar {

class Document {
 public:
  Document(std::string_view text, const Limits& limits);

  const Json& root() const { return root_; }
  /// Draft 4, 6, 7, 2019 or 2020, as $schema says; 2020 where it says nothing.
  int draft() const { return draft_; }
  /// Drafts up to 7 ignore what stands beside a $ref.
  bool only_ref() const { return draft_ < 2019; }
  /// The schema that `ref` in the schema `from` means. Throws Refusal(keyword, path).
  const Json& resolve(const Json& from, const std::string& ref, const Refusal& refusal) const;
  const Json& resolve_dynamic(const Json& from, const std::string& ref, const Refusal& refusal) const;
  /// The JSON pointer of a schema that resolve() has given; "" where it is not known.
  const std::string& path(const Json& schema) const;

 private:
  void visit(const Json& value, const std::string& base, const std::string& path);
  const Json* pointer(const Json& from, std::string_view fragment) const;

  Json root_;
  int draft_ = 2020;
  std::unordered_map<const Json*, std::string> base_, path_;
  std::map<std::string, const Json*> by_uri_;
  std::multimap<std::string, const Json*> dynamic_anchors_;
};

/// `reference` against `base` (RFC 3986, 5.2), enough of it for $id: no dot segments inside the base.
std::string resolve_uri(const std::string& base, const std::string& reference);

}  // namespace frugal::grammar

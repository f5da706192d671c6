// ObjectSchema: the JSON schema of a C++ struct, member by member, so that an answer can be parsed into it.
//
//   struct Order { std::string product; int quantity; std::optional<std::string> note; };
//   const std::string schema = ObjectSchema<Order>()
//       .field("product", &Order::product, R"({"minLength": 1, "maxLength": 40})")
//       .field("quantity", &Order::quantity, R"({"minimum": 1})")
//       .field("note", &Order::note)
//       .text();
//   request.constraint = json_schema(schema, {.whitespace = Whitespace::compact});
//
// Strings, booleans, numbers, vectors and, as members that may be left out, optionals. The members come in the order in
// which they are named. Plain values; not synchronised.
#pragma once

#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace frugal::grammar {

/// The JSON schema of a type. Specialise it for a struct of yours that is a member of another one.
template <class T>
struct SchemaOf;

template <>
struct SchemaOf<std::string> {
  static std::string text() { return R"({"type":"string"})"; }
};
template <>
struct SchemaOf<bool> {
  static std::string text() { return R"({"type":"boolean"})"; }
};
/// Bounded by what the type can hold.
template <std::integral T>
struct SchemaOf<T> {
  static std::string text() {
    return R"({"type":"integer","minimum":)" + std::to_string(std::numeric_limits<T>::min()) + R"(,"maximum":)" +
           std::to_string(std::numeric_limits<T>::max()) + "}";
  }
};
template <std::floating_point T>
struct SchemaOf<T> {
  static std::string text() { return R"({"type":"number"})"; }
};
template <class T>
struct SchemaOf<std::vector<T>> {
  static std::string text() { return R"({"type":"array","items":)" + SchemaOf<T>::text() + "}"; }
};

/// A member that may be left out.
template <class T>
struct SchemaOf<std::optional<T>> : SchemaOf<T> {
  static constexpr bool optional = true;
};

template <class Struct>
class ObjectSchema {
 public:
  /// A member under this name, which is written as it is: it may hold neither quotes nor backslashes. `also` is a JSON
  /// schema that the value must meet in addition.
  template <class Member>
  ObjectSchema& field(std::string_view name, Member Struct::*, std::string_view also = "") {
    const std::string quoted = '"' + std::string(name) + '"';
    add(properties_, quoted + ':' + both(SchemaOf<Member>::text(), also));
    if constexpr (!requires { SchemaOf<Member>::optional; }) add(required_, quoted);
    return *this;
  }
  std::string text() const {
    return R"({"type":"object","properties":{)" + properties_ + R"(},"required":[)" + required_ +
           R"(],"additionalProperties":false,"x-order":"schema"})";
  }

 private:
  static std::string both(std::string type, std::string_view also) {
    return also.empty() ? type : R"({"allOf":[)" + type + "," + std::string(also) + "]}";
  }
  static void add(std::string& list, const std::string& item) {
    if (!list.empty()) list += ',';
    list += item;
  }

  std::string properties_, required_;
};

}  // namespace frugal::grammar

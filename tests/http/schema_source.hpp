// FixedSchema: a constraint that is a JSON schema and is never opened here, because a provider's API enforces it.
#pragma once

#include <frugal/core/json_schema_source.hpp>
#include <frugal/core/request.hpp>

#include <memory>
#include <string>
#include <utility>

namespace frugal::testing {

class FixedSchema final : public JsonSchemaSource {
 public:
  explicit FixedSchema(std::string text) : text_(std::move(text)) {}
  std::string_view name() const override { return "json_schema"; }
  expected<std::unique_ptr<Constraint>> open(const Tokenizer&) const override {
    return unexpected(Errc::internal, "was opened");
  }
  std::string_view schema() const override { return text_; }

 private:
  std::string text_;
};

/// A constraint that is no schema.
class NoSchema final : public ConstraintSource {
 public:
  std::string_view name() const override { return "regex"; }
  expected<std::unique_ptr<Constraint>> open(const Tokenizer&) const override {
    return unexpected(Errc::internal, "was opened");
  }
};

inline constexpr const char* person_schema =
    R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"],"additionalProperties":false})";

inline Request with_schema(Request request, std::string schema = person_schema) {
  request.constraint = std::make_shared<const FixedSchema>(std::move(schema));
  return request;
}

}  // namespace frugal::testing

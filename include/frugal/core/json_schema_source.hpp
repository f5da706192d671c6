// JsonSchemaSource: a ConstraintSource that can say which JSON schema it enforces, so that an endpoint whose model runs
// elsewhere hands the schema to an API that enforces it there. What frugal::grammar::json_schema gives is one.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/constraint.hpp>

#include <string_view>

namespace frugal {

/// Immutable, like every ConstraintSource.
class FRUGAL_API JsonSchemaSource : public ConstraintSource {
 public:
  ~JsonSchemaSource() override;
  /// The schema as JSON text; as long as this lives.
  virtual std::string_view schema() const = 0;
};

}  // namespace frugal

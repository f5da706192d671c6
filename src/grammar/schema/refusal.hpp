// Refusal: what a schema asks for that cannot be enforced exactly, by name and place.
#pragma once

#include <string>

namespace frugal::grammar {

struct Refusal {
  std::string keyword;
  std::string path;  ///< of the schema that has it, as a JSON pointer
  std::string why;
  bool operator==(const Refusal&) const = default;
};

}  // namespace frugal::grammar

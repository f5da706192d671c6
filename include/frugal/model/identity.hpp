// model_identity: the name by which records, policies and certificates know which bytes answered.
#pragma once

#include <frugal/model/model.hpp>

#include <cstdio>
#include <string>

namespace frugal {

/// "NAME@FINGERPRINT", with sixteen hexadecimal digits. Changes whenever any output of the model could.
inline std::string model_identity(const Model& model) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(model.fingerprint()));
  return model.name() + "@" + digits;
}

}  // namespace frugal

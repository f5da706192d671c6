// The Finish of a request that never started.
#pragma once

#include <frugal/core/finish.hpp>

#include <string>
#include <utility>

namespace frugal {

inline Finish refusal(Error error, std::string model) {
  Finish end;
  end.reason = FinishReason::refused;
  end.error = std::move(error);
  end.model = std::move(model);
  return end;
}

}  // namespace frugal

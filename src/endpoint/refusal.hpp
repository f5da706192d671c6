// Requests without an answer: the Finish of one that never started, and how to tell one that gave none.
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

/// Nothing of it counts as the answer: it never started, or failed.
inline bool is_failure(FinishReason reason) { return reason == FinishReason::refused || reason == FinishReason::error; }

}  // namespace frugal

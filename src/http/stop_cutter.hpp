// StopCutter: ends an answer at a stop text that its API did not look for. Holds back what may become one.
#pragma once

#include <frugal/core/finish.hpp>

#include <string>
#include <utility>
#include <vector>

#include "core/stop_texts.hpp"

namespace frugal::http {

class StopCutter {
 public:
  explicit StopCutter(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Takes the piece's text, and leaves in it what can be given: nothing after a stop text.
  void cut(Delta& delta) {
    if (matched_ != nullptr) delta = {};
    if (stops_.empty() || matched_ != nullptr) return;
    held_ += delta.text;
    const StopMatch found = find_stop(held_, stops_);
    matched_ = found.stop;
    delta.text = held_.substr(0, found.safe);
    held_.erase(0, found.safe);
  }
  /// The stop text that came; null = none.
  const std::string* matched() const noexcept { return matched_; }
  /// What was held back, where the answer has ended without a stop text.
  Delta rest() {
    Delta out;
    if (matched_ == nullptr) out.text = std::exchange(held_, {});
    return out;
  }

 private:
  std::vector<std::string> stops_;
  std::string held_{};
  const std::string* matched_ = nullptr;
};

}  // namespace frugal::http

// One line of a trace as requests: the fields by name, for every kind of line that TraceReader knows.
#pragma once

#include "meter/vllm_columns.hpp"

#include <frugal/meter/trace.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::meter {

/// Longest name (type, tenant, model, label, ...) in bytes, most labels and most attempts of one request.
inline constexpr std::size_t longest_name = 4096, most_labels = 64, most_attempts = 1024;

/// A line that was read: one request, or the columns of many.
class TraceLine {
 public:
  /// Reads `line`. Throws JsonFault.
  void read(std::string_view line);
  /// Requests in the line: 1, or those of a vLLM result.
  std::size_t size() const { return columns_ ? columns_->size() : 1; }
  /// Request number i; each may be taken once. `record`'s memory serves the next line. Throws JsonFault where the
  /// request contradicts itself.
  void take(std::size_t i, TraceRecord& record);
  /// Fields of the line that may count tokens and that were not read.
  const std::vector<std::string>& unread() const { return unread_; }

 private:
  TraceRecord record_{};
  std::optional<VllmColumns> columns_{};
  std::vector<std::string> unread_{};
};

/// What is wrong with a request, in a sentence; empty = nothing. Every request of every kind of line passes through
/// here: counts and times are finite and believable, and parts are not larger than wholes.
std::string contradiction(const TraceRecord& record);

}  // namespace frugal::meter

// VllmColumns: a result file of `vllm bench serve --save-detailed`, one object with a list per quantity. Its requests
// are made one at a time, so that a file takes no more memory than its columns.
#pragma once

#include "meter/json_cursor.hpp"

#include <frugal/meter/trace.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace frugal::meter {

class VllmColumns {
 public:
  /// Reads the value where `key` is one of the columns; false, and nothing read, where it is not.
  bool read(std::string_view key, JsonCursor& cursor);
  /// Throws JsonFault where the columns are not equally long.
  void finish(const JsonCursor& cursor) const;

  std::size_t size() const { return input_.size(); }
  std::size_t at() const { return at_; }  ///< byte of the line where the first column stands
  /// Request number i, under the model (and other names) of `common`.
  TraceRecord request(std::size_t i, const TraceRecord& common) const;

 private:
  std::vector<std::uint64_t> input_{}, output_{};
  std::vector<double> ttft_{}, decode_{}, start_{};  ///< seconds
  std::vector<bool> failed_{};
  std::size_t at_ = 0;
};

}  // namespace frugal::meter

// BatchState: what was sent to a provider and may not be sent again, in a file that is whole at any moment. One thread.
#pragma once

#include <frugal/http/http_endpoint.hpp>

#include <chrono>
#include <list>
#include <string>
#include <unordered_set>

namespace frugal::http {

struct SentBatch {
  std::string id{};    ///< the provider's; empty = it was being sent, and nobody knows whether it arrived
  std::string mark{};  ///< ours
  std::chrono::sys_seconds sent{};
  std::unordered_set<std::string> items{};  ///< whose answers are there for the asking
};

class BatchState {
 public:
  /// Reads the file; an empty path keeps nothing. Throws Error(bad_file) where it is no such file or belongs to another
  /// API, URL or model.
  BatchState(std::string path, const HttpOptions& of);
  std::list<SentBatch>& batches() noexcept { return batches_; }
  /// Throws Error(bad_file) where it cannot be written; the file is then what it was.
  void save() const;

 private:
  std::string path_, owner_;
  std::list<SentBatch> batches_{};
};

}  // namespace frugal::http

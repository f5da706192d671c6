// What the program says while it works: a progress line on standard error. Standard output belongs to results.
#pragma once

#include <frugal/model/model.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace frugal::tools {

/// Rewrites one line on a terminal; elsewhere (a log file) writes one line a stage. Ends its line when destroyed.
class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void at(std::string_view stage, double share);

 private:
  bool quiet_, terminal_, open_ = false;
  std::string stage_{};
  int percent_ = -1;
};

/// load_model with a progress line.
std::shared_ptr<const Model> load_with_progress(const std::string& path, bool quiet);

/// Writes to standard output and checks that it went through; throws Error(bad_file) where not (a full disk, a closed
/// pipe).
void print(std::string_view text);

}  // namespace frugal::tools

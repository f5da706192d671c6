// Runs the program under test and collects what it said. Each run has a folder of its own that goes with it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace frugal::test {

class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  /// Writes a file there and returns its path.
  std::string write(const std::string& name, const std::string& text) const;

 private:
  std::filesystem::path folder_;
};

struct Outcome {
  int code = -1;
  std::string out, err;
};

/// The program `frugal` with these arguments and this standard input.
Outcome frugal_program(const std::vector<std::string>& arguments, const std::string& input = "");

std::string read_file(const std::string& path);

}  // namespace frugal::test
